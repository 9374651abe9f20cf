import { MapType } from "../types.ts";
import { defineMap, type MapDefinition } from "./definition.ts";
import { addressOf, FAMILY_IPV4, FAMILY_IPV6, unionAddress, unionBytes } from "./family.ts";
import { bytes, named, port, type StructCodec, struct, transform, u8, u16, u32, u64 } from "./layout.ts";
import { hex, hostPort, protocolName } from "./names.ts";

/**
 * Bits of `CtTuple.flags`: `service` in the connection maps, where an entry is of a connection without it; `in` in those of
 * translated sources, whose entries are of replies with it.
 */
export const TupleFlag = { in: 1, service: 4 } as const;

/** Key of `cilium_ct4_global` and `cilium_ct6_global`: the ends of a connection's first packet. */
export interface CtTuple {
  readonly destination: string;
  readonly source: string;
  readonly destinationPort: number;
  readonly sourcePort: number;
  readonly protocol: number;
  /** TupleFlag bits. */
  readonly flags: number;
}

/** How the endpoint at one end knows a connection. */
export interface CtView {
  /** Since when, in seconds of the monotonic clock, 31 bits. */
  readonly since: number;
  /** Whether its policy turned the connection down at its last packet. */
  readonly denied: boolean;
}

/** Value of `cilium_ct4_global` and `cilium_ct6_global`. Times are seconds of the monotonic clock. */
export interface CtEntry {
  /** What the opener asked for, when it was led elsewhere: replies come from there. */
  readonly nat: { readonly address: string; readonly port: number } | undefined;
  /** Of a TUPLE_F_SERVICE entry: the backend that serves this client. 0 where there is none. */
  readonly backendId: bigint;
  /** Of both directions; 0 without `--ct-accounting`. */
  readonly packets: bigint;
  readonly bytes: bigint;
  /** When the entry expires. */
  readonly lifetime: number;
  /** CT_F_* bits. */
  readonly flags: number;
  readonly revNatIndex: number;
  /** TCP flags seen from the opener and towards it. */
  readonly txFlagsSeen: number;
  readonly rxFlagsSeen: number;
  readonly sourceIdentity: number;
  /** The views of the endpoint that opened the connection, and of the other. Only pods of the node have one. */
  readonly out: CtView | undefined;
  readonly in: CtView | undefined;
}

/** Of a word of `since`: CT_SINCE_DENIED. */
const denied = 2 ** 31;

const wordOfView = (view: CtView | undefined): number =>
  view === undefined ? 0 : view.since + (view.denied ? denied : 0);

const viewOfWord = (word: number): CtView | undefined =>
  word === 0 ? undefined : { since: word % denied, denied: word >= denied };

function sinceBytes(entry: Pick<CtEntry, "out" | "in">): Buffer {
  const since = Buffer.alloc(8);
  since.writeUInt32LE(wordOfView(entry.out), 0);
  since.writeUInt32LE(wordOfView(entry.in), 4);
  return since;
}

/** Codec of `struct ipv4_ct_tuple` or `struct ipv6_ct_tuple`. */
export function ctTuple(family: 4 | 6): StructCodec<CtTuple> {
  const address = addressOf(family);
  return struct(`ipv${family}_ct_tuple`, {
    destination: named("daddr", address),
    source: named("saddr", address),
    destinationPort: named("dport", port),
    sourcePort: named("sport", port),
    protocol: named("nexthdr", u8),
    flags: u8,
  });
}

/** The union's sixteen bytes are an address when there is a port to go with it, and a backend's id otherwise. */
function ctEntry(family: 4 | 6): StructCodec<CtEntry> {
  const members = struct("ct_entry", {
    union: named("nat_addr", bytes(16)),
    packets: u64,
    bytes: u64,
    lifetime: u32,
    flags: u16,
    revNatIndex: u16,
    natPort: port,
    txFlagsSeen: u8,
    rxFlagsSeen: u8,
    sourceIdentity: named("src_sec_id", u32),
    since: bytes(8),
  });
  const unionFamily = family === 4 ? FAMILY_IPV4 : FAMILY_IPV6;
  return transform(
    members,
    ({ nat, backendId, ...views }: CtEntry) => {
      const { out: _out, in: _in, ...others } = views;
      const rest = { ...others, since: sinceBytes(views) };
      if (nat !== undefined) return { ...rest, union: unionBytes(nat.address), natPort: nat.port };
      const union = Buffer.alloc(16);
      union.writeBigUInt64LE(backendId);
      return { ...rest, union, natPort: 0 };
    },
    ({ union, natPort, since, ...others }): CtEntry => {
      const rest = {
        ...others,
        out: viewOfWord(since.readUInt32LE(0)),
        in: viewOfWord(since.readUInt32LE(4)),
      };
      return natPort === 0
        ? { ...rest, nat: undefined, backendId: union.readBigUInt64LE() }
        : { ...rest, nat: { address: unionAddress(union, unionFamily), port: natPort }, backendId: 0n };
    },
  );
}

/** "10.0.1.5:41000 -> 10.0.1.9:80" */
export function formatEnds(tuple: CtTuple): string {
  const source = hostPort({ address: tuple.source, port: tuple.sourcePort });
  return `${source} -> ${hostPort({ address: tuple.destination, port: tuple.destinationPort })}`;
}

/** "TCP 10.0.1.5:41000 -> 10.0.1.9:80", "TCP SVC 10.0.1.5:41000 -> 10.96.0.1:80" */
function formatTuple(tuple: CtTuple): string {
  const kind = (tuple.flags & TupleFlag.service) === 0 ? "" : " SVC";
  return `${protocolName(tuple.protocol)}${kind} ${formatEnds(tuple)}`;
}

/** " Out=5120", " In=5121,denied", or nothing. */
const formatView = (name: string, view: CtView | undefined): string =>
  view === undefined ? "" : ` ${name}=${view.since}${view.denied ? ",denied" : ""}`;

function ctMap(family: 4 | 6): MapDefinition<CtTuple, CtEntry> {
  return defineMap<CtTuple, CtEntry>({
    name: `cilium_ct${family}_global`,
    type: MapType.lruHash,
    maxEntries: 512000,
    key: ctTuple(family),
    value: ctEntry(family),
    formatKey: formatTuple,
    formatValue: (entry) =>
      `expires=${entry.lifetime} ` +
      (entry.packets === 0n ? "" : `packets=${entry.packets} bytes=${entry.bytes} `) +
      `RxFlagsSeen=${hex(entry.rxFlagsSeen, 2)} TxFlagsSeen=${hex(entry.txFlagsSeen, 2)}` +
      `${formatView("Out", entry.out)}${formatView("In", entry.in)} Flags=${hex(entry.flags, 4)} RevNAT=${entry.revNatIndex} SourceSecurityID=${entry.sourceIdentity} ` +
      (entry.nat === undefined ? `BackendID=${entry.backendId}` : `NatAddr=${hostPort(entry.nat)}`),
  });
}

/** Connections of all endpoints of this node. Written by bpf_lxc; the kernel evicts the least used. */
export const ct4Map = ctMap(4);
export const ct6Map = ctMap(6);
