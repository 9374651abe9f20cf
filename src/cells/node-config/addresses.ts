import { familyOf } from "../../datapath/address.ts";
import type { NodeConfig } from "./types.ts";

/** The families that the node's pods have. */
export const familiesOf = ({ podCidrV6 }: Pick<NodeConfig, "podCidrV6">): readonly (4 | 6)[] =>
  podCidrV6 === undefined ? [4] : [4, 6];

/** The node's own addresses, routers included, of the families that its pods have; each once. */
export function nodeAddresses(config: NodeConfig): readonly string[] {
  const { routerIpv4, routerIpv6, nodeIpv4, nodeIpv6, host, devices } = config;
  const families = familiesOf(config);
  const all = [
    ...[routerIpv4, routerIpv6, nodeIpv4, nodeIpv6].flatMap((address) => address ?? []),
    ...[host, ...devices].flatMap(({ ipv4, ipv6 }) => [...ipv4, ...ipv6]),
  ];
  return [...new Set(all)].filter((address) => families.includes(familyOf(address)));
}

/** "10.0.1.5/32", "fd00::5/128" */
export const hostPrefix = (address: string): string => `${address}/${familyOf(address) === 4 ? 32 : 128}`;
