import { MapType } from "../types.ts";
import { defineMap } from "./definition.ts";
import { ipv4, named, port, struct, u8, u16, u32, u64, u64InUnion } from "./layout.ts";
import { hex, protocolName } from "./names.ts";

/** Bits of `CtTuple.flags`. Without TUPLE_F_IN a tuple is of a connection that the pod opened. */
export const TupleFlag = { in: 1, related: 2, service: 4 } as const;

/** Key of `cilium_ct4_global`: a connection as one endpoint sees it. */
export interface CtTuple {
  readonly destination: string;
  readonly source: string;
  readonly destinationPort: number;
  readonly sourcePort: number;
  readonly protocol: number;
  /** TupleFlag bits. */
  readonly flags: number;
}

/** Value of `cilium_ct4_global`. Times are seconds of the monotonic clock. */
export interface CtEntry {
  /** Of a TUPLE_F_SERVICE entry: the backend that serves this client. */
  readonly backendId: bigint;
  readonly packets: bigint;
  readonly bytes: bigint;
  /** When the entry expires. */
  readonly lifetime: number;
  /** CT_F_* bits. */
  readonly flags: number;
  readonly revNatIndex: number;
  readonly natPort: number;
  /** TCP flags seen from the opener and towards it. */
  readonly txFlagsSeen: number;
  readonly rxFlagsSeen: number;
  readonly sourceIdentity: number;
  /** When a trace was last sent for each direction. */
  readonly lastTxReport: number;
  readonly lastRxReport: number;
}

const ctTuple = struct("ipv4_ct_tuple", {
  destination: named("daddr", ipv4),
  source: named("saddr", ipv4),
  destinationPort: named("dport", port),
  sourcePort: named("sport", port),
  protocol: named("nexthdr", u8),
  flags: u8,
});

const ctEntry = struct("ct_entry", {
  backendId: u64InUnion,
  packets: u64,
  bytes: u64,
  lifetime: u32,
  flags: u16,
  revNatIndex: u16,
  natPort: port,
  txFlagsSeen: u8,
  rxFlagsSeen: u8,
  sourceIdentity: named("src_sec_id", u32),
  lastTxReport: u32,
  lastRxReport: u32,
});

function direction(flags: number): string {
  if ((flags & TupleFlag.service) !== 0) return "SVC";
  return (flags & TupleFlag.in) !== 0 ? "IN" : "OUT";
}

/** Connections of all endpoints of this node. Written by bpf_lxc; the kernel evicts the least used. */
export const ct4Map = defineMap<CtTuple, CtEntry>({
  name: "cilium_ct4_global",
  type: MapType.lruHash,
  maxEntries: 512000,
  key: ctTuple,
  value: ctEntry,
  formatKey: (tuple) =>
    `${protocolName(tuple.protocol)} ${direction(tuple.flags)} ` +
    `${tuple.source}:${tuple.sourcePort} -> ${tuple.destination}:${tuple.destinationPort}` +
    ((tuple.flags & TupleFlag.related) !== 0 ? " related" : ""),
  formatValue: (entry) =>
    `expires=${entry.lifetime} packets=${entry.packets} bytes=${entry.bytes} ` +
    `RxFlagsSeen=${hex(entry.rxFlagsSeen, 2)} LastRxReport=${entry.lastRxReport} ` +
    `TxFlagsSeen=${hex(entry.txFlagsSeen, 2)} LastTxReport=${entry.lastTxReport} ` +
    `Flags=${hex(entry.flags, 4)} RevNAT=${entry.revNatIndex} SourceSecurityID=${entry.sourceIdentity} BackendID=${entry.backendId}`,
});
