import { MapType } from "../types.ts";
import { defineMap } from "./definition.ts";
import { ipv4, ipv6, named, padding, port, struct, u8, u16, u32 } from "./layout.ts";
import { protocolName } from "./names.ts";

/** Key of `cilium_ipv4_frag_datagrams` and `cilium_ipv6_frag_datagrams`: a fragmented datagram. */
export interface FragmentId {
  readonly destination: string;
  readonly source: string;
  /** Identification field, its bytes as they are on the wire, read little-endian: two of IPv4, four of IPv6. */
  readonly id: number;
  /** Of IPv6: the header after the fragment header. */
  readonly protocol: number;
}

/** Value of both maps: the ports that only the first fragment carries. */
export interface FragmentPorts {
  readonly sourcePort: number;
  readonly destinationPort: number;
}

const fragmentId4 = struct("ipv4_frag_id", {
  destination: named("daddr", ipv4),
  source: named("saddr", ipv4),
  id: u16,
  protocol: named("proto", u8),
  pad: padding(1),
});

const fragmentId6 = struct("ipv6_frag_id", {
  id: u32,
  protocol: named("proto", u8),
  pad: padding(3),
  source: named("saddr", ipv6),
  destination: named("daddr", ipv6),
});

const fragmentPorts = struct("ipv4_frag_l4ports", {
  sourcePort: named("sport", port),
  destinationPort: named("dport", port),
});

const common = {
  type: MapType.lruHash,
  maxEntries: 8192,
  value: fragmentPorts,
  formatKey: (key: FragmentId) =>
    `${key.source} -> ${key.destination}, ${key.id}, ${protocolName(key.protocol)}`,
  formatValue: (ports: FragmentPorts) => `${ports.destinationPort}, ${ports.sourcePort}`,
} as const;

/** Ports of datagrams whose first fragment has been seen. Written and read by all programs that see packets. */
export const fragmentsMap = defineMap<FragmentId, FragmentPorts>({
  ...common,
  name: "cilium_ipv4_frag_datagrams",
  key: fragmentId4,
});
export const fragments6Map = defineMap<FragmentId, FragmentPorts>({
  ...common,
  name: "cilium_ipv6_frag_datagrams",
  key: fragmentId6,
});
