/** Session affinity: which backend a client was served by last, and which backends still serve. */
import { MapType } from "../types.ts";
import { defineMap, type MapDefinition } from "./definition.ts";
import {
  bytes,
  ipv4,
  ipv6,
  padding,
  type StructCodec,
  struct,
  transform,
  u8,
  u16,
  u32,
  u64,
} from "./layout.ts";

/** Key of `cilium_lb4_affinity` and `cilium_lb6_affinity`: a client of a frontend. */
export interface LbAffinityKey {
  /** The client's address; undefined for sockets of a network namespace of this machine. */
  readonly address: string | undefined;
  /** The namespace's cookie when there is no address; 0 otherwise. */
  readonly netnsCookie: bigint;
  readonly revNatIndex: number;
}

/** Value of `cilium_lb4_affinity` and `cilium_lb6_affinity`. */
export interface LbAffinity {
  /** Seconds of the monotonic clock. */
  readonly lastUsed: bigint;
  readonly backendId: number;
}

/** Key of `cilium_lb_affinity_match`: a backend that serves a frontend. */
export interface LbAffinityMatch {
  readonly backendId: number;
  readonly revNatIndex: number;
}

const value = struct("lb_affinity_val", { lastUsed: u64, backendId: u32, pad: padding(4) });

/** C keeps the client in a union of an address and a cookie; a flag says which it is. */
function affinityKey(family: 4 | 6): StructCodec<LbAffinityKey> {
  const [length, ip] = family === 4 ? [8, ipv4] : [16, ipv6];
  return transform(
    struct(`lb${family}_affinity_key`, {
      client: bytes(length),
      revNatIndex: u16,
      byCookie: u8,
      pad: padding(5),
    }),
    ({ address, netnsCookie, revNatIndex }: LbAffinityKey) => {
      const client = Buffer.alloc(length);
      if (address === undefined) client.writeBigUInt64LE(netnsCookie);
      else ip.encode(address, client, 0);
      return { client, revNatIndex, byCookie: address === undefined ? 1 : 0 };
    },
    ({ client, revNatIndex, byCookie }) => ({
      address: byCookie === 0 ? ip.decode(client, 0) : undefined,
      netnsCookie: byCookie === 0 ? 0n : client.readBigUInt64LE(),
      revNatIndex,
    }),
  );
}

function affinityMap(family: 4 | 6): MapDefinition<LbAffinityKey, LbAffinity> {
  return defineMap<LbAffinityKey, LbAffinity>({
    name: `cilium_lb${family}_affinity`,
    type: MapType.lruHash,
    maxEntries: 65536,
    key: affinityKey(family),
    value,
    formatKey: ({ address, netnsCookie, revNatIndex }) =>
      address === undefined ? `netns ${netnsCookie} ${revNatIndex}` : `${address} ${revNatIndex}`,
    formatValue: ({ backendId, lastUsed }) => `${backendId} last_used=${lastUsed}`,
  });
}

/** Clients of frontends with session affinity. Written by bpf_lxc, bpf_host and bpf_sock. */
export const lb4AffinityMap = affinityMap(4);
export const lb6AffinityMap = affinityMap(6);

/** Backends that a client may be kept at. The agent writes; bpf_lxc, bpf_host and bpf_sock read. */
export const lbAffinityMatchMap = defineMap<LbAffinityMatch, number>({
  name: "cilium_lb_affinity_match",
  type: MapType.hash,
  maxEntries: 131072,
  flags: 1,
  key: struct("lb_affinity_match", {
    backendId: u32,
    revNatIndex: u16,
    pad: padding(2),
  }),
  value: u8,
  formatKey: ({ backendId, revNatIndex }) => `${backendId} ${revNatIndex}`,
  formatValue: () => "",
});
