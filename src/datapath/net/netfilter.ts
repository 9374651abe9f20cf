/**
 * Who filters packets in a namespace: base chains of nftables over netlink (include/uapi/linux/netfilter/nfnetlink.h and
 * nf_tables.h), and tables of the older iptables (/proc/net/ip_tables_names). The chains of iptables-nft are nftables' own.
 */
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { Protocol } from "netlink";
import { filter, map, type Observable } from "rxjs";
import { DatapathError } from "../errors.ts";
import type { BaseChain, BaseChainChange } from "../net-types.ts";
import { isErrno } from "./links.ts";
import { type NetlinkMessage, parseAttributes, readString } from "./message.ts";
import { listenOptional } from "./optional.ts";
import type { Place } from "./place.ts";
import type { RtnlSocket } from "./socket.ts";

const NFNL_SUBSYS_NFTABLES = 10;
const NFNLGRP_NFTABLES = 7;
/** Types of messages have the subsystem in the upper byte. */
const typeOf = (message: number): number => (NFNL_SUBSYS_NFTABLES << 8) | message;
/** NFT_MSG_*. */
const Message = {
  deleteTable: typeOf(2),
  newChain: typeOf(3),
  getChain: typeOf(4),
  deleteChain: typeOf(5),
} as const;

/** `struct nfgenmsg`: family, version, and a number of 16 bits that says nothing here; then attributes. */
const HEADER = 4;
/** NFTA_CHAIN_*; a chain without a hook is only jumped to. */
const Chain = { table: 1, name: 3, hook: 4 } as const;
const NFTA_HOOK_HOOKNUM = 1;

/** NF_INET_*. */
const INET_HOOKS = ["prerouting", "input", "forward", "output", "postrouting", "ingress"] as const;

/** NFPROTO_* and their hooks, by number (include/uapi/linux/netfilter.h, netfilter_arp.h). */
const FAMILIES: ReadonlyMap<number, { readonly name: string; readonly hooks: readonly string[] }> = new Map([
  [1, { name: "inet", hooks: INET_HOOKS }],
  [2, { name: "ip", hooks: INET_HOOKS }],
  [3, { name: "arp", hooks: ["input", "output"] }],
  [5, { name: "netdev", hooks: ["ingress", "egress"] }],
  [7, { name: "bridge", hooks: INET_HOOKS }],
  [10, { name: "ip6", hooks: INET_HOOKS }],
]);

/** Of IPv4, as the thread's namespace has them; a name a line. */
const LEGACY_TABLES = "/proc/thread-self/net/ip_tables_names";

/**
 * Base chains of nftables; none where the kernel has no nftables. It may load them as a module when it is asked.
 * @throws DatapathError
 */
export async function listBaseChains(socket: RtnlSocket): Promise<readonly BaseChain[]> {
  try {
    const parts = await socket.dump({
      type: Message.getChain,
      payload: Buffer.alloc(HEADER),
      operation: "list",
      object: "chains of nftables",
    });
    return parts.map(parseChain).filter((chain) => chain !== undefined);
  } catch (error) {
    // What a subsystem is answered with that is not there: nfnetlink_rcv_msg() of net/netfilter/nfnetlink.c.
    if (isErrno(error, constants.errno.EINVAL)) return [];
    throw error;
  }
}

/** See `NetOps.legacyTables`; none where the kernel does not have them. @throws DatapathError */
export function listLegacyTables(place: Place): readonly string[] {
  return place.enter<readonly string[]>(() => {
    try {
      return readFileSync(LEGACY_TABLES, "utf8").split("\n").filter(Boolean);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw new DatapathError({ operation: "read", object: LEGACY_TABLES, cause });
    }
  });
}

/** See `NetOps.baseChainChanges`. */
export function watchBaseChains(place: Place): Observable<BaseChainChange> {
  const multicasts = {
    protocol: Protocol.NETFILTER,
    groups: [NFNLGRP_NFTABLES],
    object: "chains of nftables",
  };
  return listenOptional(place, multicasts).pipe(
    map((message) => (message === "missed" ? ({ kind: "resync" } as const) : parseChange(message))),
    filter((change) => change !== undefined),
  );
}

/** Rules, sets, and chains that are jumped to come and go often; of a chain that goes the kernel does not say which it was. */
function parseChange({ type, payload }: NetlinkMessage): BaseChainChange | undefined {
  if (type === Message.newChain) {
    const chain = parseChain(payload);
    return chain && { kind: "came", chain };
  }
  if (type !== Message.deleteChain && type !== Message.deleteTable) return undefined;
  const attributes = parseAttributes(payload, HEADER);
  // NFTA_TABLE_NAME has the number that a chain's message has for its table.
  const table = readString(attributes.get(Chain.table));
  const chain = type === Message.deleteChain ? readString(attributes.get(Chain.name)) : undefined;
  if (table === undefined) return { kind: "resync" };
  return { kind: "gone", family: familyOf(payload), table, ...(chain === undefined ? {} : { chain }) };
}

/** Name of the family that a message is about, or its number. */
function familyOf(payload: Buffer): string {
  const number = payload.readUInt8(0);
  return FAMILIES.get(number)?.name ?? String(number);
}

/** Undefined for a chain that is only jumped to. @throws DatapathError */
function parseChain(payload: Buffer): BaseChain | undefined {
  const attributes = parseAttributes(payload, HEADER);
  const hook = attributes.get(Chain.hook);
  if (hook === undefined) return undefined;
  const [table, chain] = [Chain.table, Chain.name].map((type) => readString(attributes.get(type)));
  const number = parseAttributes(hook).get(NFTA_HOOK_HOOKNUM);
  if (table === undefined || chain === undefined || number === undefined || number.length < 4) {
    throw new DatapathError({
      operation: "parse",
      object: "chain of nftables",
      detail: "it has no table, name or hook",
    });
  }
  const family = FAMILIES.get(payload.readUInt8(0));
  const at = number.readUInt32BE(0);
  return {
    family: familyOf(payload),
    table,
    chain,
    hook: family?.hooks[at] ?? String(at),
  };
}
