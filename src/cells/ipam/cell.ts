import { Health, Lifecycle, module, provide, token } from "../../hive/index.ts";
import { type NodeConfig, NodeNetworking } from "../node-config/index.ts";
import { PodIpam } from "./ipam.ts";
import type { Ipam } from "./types.ts";

/** Pod addresses of this node. Usable once the ipam cell has started. */
export const NodeIpam = token<Ipam>("NodeIpam");

/** Pod addresses from the node's pod network, without the router's and the node's own. */
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
          ipam.open({ podCidr: node.config.podCidr, reserved: ownAddresses(node.config) });
          health.ok(`${ipam.capacity} addresses of ${node.config.podCidr}`);
        },
      });
      return ipam;
    },
  ),
);

function ownAddresses(config: NodeConfig): { address: string; owner: string }[] {
  const devices = [config.host, ...config.devices];
  return [
    { address: config.routerIpv4, owner: "the router" },
    ...devices.flatMap(({ name, ipv4 }) => ipv4.map((address) => ({ address, owner: `the node (${name})` }))),
  ];
}
