/** Source NAT of what leaves the node: masqueraded pods, and services that are reached from outside. */
import { MapType } from "../types.ts";
import { type CtTuple, ctTuple, formatEnds, TupleFlag } from "./ct.ts";
import { defineMap, type MapDefinition } from "./definition.ts";
import { addressOf } from "./family.ts";
import { named, padding, port, type StructCodec, struct, u32, u64 } from "./layout.ts";
import { hostPort, protocolName } from "./names.ts";

/**
 * Value of `cilium_snat_v4_external` and `cilium_snat_v6_external`: what the source of a tuple becomes (TUPLE_F_OUT),
 * or what the destination of its replies is turned back into (TUPLE_F_IN). Times are seconds of the monotonic clock.
 */
export interface SnatEntry {
  readonly created: bigint;
  readonly lastUsed: number;
  /** CT_F_* of TCP, and SNAT_F_ONE_WAY (bpf/lib/snat_maps.h). */
  readonly flags: number;
  readonly address: string;
  readonly port: number;
}

function snatEntry(family: 4 | 6): StructCodec<SnatEntry> {
  return struct(`ipv${family}_nat_entry`, {
    created: u64,
    lastUsed: u32,
    flags: u32,
    address: named("to_addr", addressOf(family)),
    port: named("to_port", port),
    pad2: padding(family === 4 ? 2 : 6),
  });
}

/** "TCP OUT 10.0.1.5:41000 -> 1.1.1.1:443" */
const formatTuple = (tuple: CtTuple): string =>
  `${protocolName(tuple.protocol)} ${(tuple.flags & TupleFlag.in) === 0 ? "OUT" : "IN"} ${formatEnds(tuple)}`;

function snatMap(family: 4 | 6): MapDefinition<CtTuple, SnatEntry> {
  return defineMap<CtTuple, SnatEntry>({
    name: `cilium_snat_v${family}_external`,
    type: MapType.lruHash,
    maxEntries: 131072,
    key: ctTuple(family),
    value: snatEntry(family),
    formatKey: formatTuple,
    formatValue: (entry) => `XLATE ${hostPort(entry)} Created=${entry.created} LastUsed=${entry.lastUsed}`,
  });
}

/** Translations of both directions, an entry for each. Written by bpf_host; the kernel evicts the least used. */
export const snat4Map = snatMap(4);
export const snat6Map = snatMap(6);
