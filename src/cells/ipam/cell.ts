import { Health, Lifecycle, module, provide, token } from "../../hive/index.ts";
import { type NodeConfig, NodeNetworking } from "../node-config/index.ts";
import { PodIpam } from "./ipam.ts";
import type { ReservedAddress } from "./pool.ts";
import type { Ipam, PoolUse } from "./types.ts";

/** Pod addresses of this node. Usable once the ipam cell has started. */
export const NodeIpam = token<Ipam>("NodeIpam");

/** Pod addresses from the node's pod networks, without the router's and the node's own. */
export const ipamCell = module(
  "ipam",
  "Pod addresses",
  provide(
    NodeIpam,
    { node: NodeNetworking, lifecycle: Lifecycle, health: Health },
    ({ node, lifecycle, health }) => {
      const ipam = new PodIpam();
      lifecycle.append({
        name: "pod addresses",
        start: () => {
          const { podCidr, podCidrV6 } = node.config;
          ipam.open({ podCidr, podCidrV6, reserved: ownAddresses(node.config) });
          health.ok(ipam.pools.map(poolText).join(", "));
        },
      });
      return ipam;
    },
  ),
);

/** Nobody counts the addresses of a network of IPv6. */
const poolText = ({ cidr, capacity }: PoolUse): string =>
  Number.isSafeInteger(capacity) ? `${capacity} addresses of ${cidr}` : `addresses of ${cidr}`;

function ownAddresses({ host, devices, routerIpv4, routerIpv6 }: NodeConfig): ReservedAddress[] {
  const routers = [routerIpv4, routerIpv6].flatMap((address) => address ?? []);
  return [
    ...[host, ...devices].flatMap(({ name, ipv4, ipv6 }) =>
      [...ipv4, ...ipv6].map((address) => ({ address, owner: `the node (${name})` })),
    ),
    ...routers.map((address) => ({ address, owner: "the router" })),
  ];
}
