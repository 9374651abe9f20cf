import { MapType } from "../types.ts";
import { defineMap } from "./definition.ts";
import { ipv4, named, padding, port, struct, u8, u16 } from "./layout.ts";
import { protocolName } from "./names.ts";

/** Key of `cilium_ipv4_frag_datagrams`: a fragmented datagram. */
export interface FragmentId {
  readonly destination: string;
  readonly source: string;
  /** Identification field, its two bytes as they are on the wire, read little-endian. */
  readonly id: number;
  readonly protocol: number;
}

/** Value of `cilium_ipv4_frag_datagrams`: the ports that only the first fragment carries. */
export interface FragmentPorts {
  readonly sourcePort: number;
  readonly destinationPort: number;
}

const fragmentId = struct("ipv4_frag_id", {
  destination: named("daddr", ipv4),
  source: named("saddr", ipv4),
  id: u16,
  protocol: named("proto", u8),
  pad: padding(1),
});

const fragmentPorts = struct("ipv4_frag_l4ports", {
  sourcePort: named("sport", port),
  destinationPort: named("dport", port),
});

/** Ports of datagrams whose first fragment has been seen. Written and read by bpf_lxc and bpf_host. */
export const fragmentsMap = defineMap<FragmentId, FragmentPorts>({
  name: "cilium_ipv4_frag_datagrams",
  type: MapType.lruHash,
  maxEntries: 8192,
  key: fragmentId,
  value: fragmentPorts,
  formatKey: (key) => `${key.source} -> ${key.destination}, ${key.id}, ${protocolName(key.protocol)}`,
  formatValue: (ports) => `${ports.destinationPort}, ${ports.sourcePort}`,
});
