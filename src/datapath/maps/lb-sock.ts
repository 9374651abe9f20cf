/** Services at the socket: what a socket believes it talks to. */
import { MapType } from "../types.ts";
import { defineMap, type MapDefinition } from "./definition.ts";
import { ipv4, ipv6, padding, port, struct, u16, u64 } from "./layout.ts";
import { hostPort } from "./names.ts";

/** Key of `cilium_lb4_reverse_sk` and `cilium_lb6_reverse_sk`: a socket and the backend it was led to. */
export interface LbReverseSkKey {
  /** The socket's cookie. */
  readonly cookie: bigint;
  readonly address: string;
  readonly port: number;
}

/** Value of `cilium_lb4_reverse_sk` and `cilium_lb6_reverse_sk`: the frontend it asked for. */
export interface LbReverseSk {
  readonly address: string;
  readonly port: number;
  readonly revNatIndex: number;
}

function reverseSkMap(family: 4 | 6): MapDefinition<LbReverseSkKey, LbReverseSk> {
  const address = family === 4 ? ipv4 : ipv6;
  return defineMap<LbReverseSkKey, LbReverseSk>({
    name: `cilium_lb${family}_reverse_sk`,
    type: MapType.lruHash,
    maxEntries: 65536,
    key: struct(`lb${family}_reverse_sk_key`, {
      cookie: u64,
      address,
      port,
      pad: padding(family === 4 ? 2 : 6),
    }),
    value: struct(`lb${family}_reverse_sk`, { address, port, revNatIndex: u16 }),
    formatKey: (key) => `${key.cookie} ${hostPort(key)}`,
    formatValue: (value) => `${hostPort(value)} (${value.revNatIndex})`,
  });
}

/** Written and read by bpf_sock only; the kernel evicts the least recently used. */
export const lb4ReverseSkMap = reverseSkMap(4);
export const lb6ReverseSkMap = reverseSkMap(6);
