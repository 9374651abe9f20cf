import { NEVER } from "rxjs";
import { type NodeConfig, NodeNetworking } from "waggle/cells/node-config";
import { type ConfigOf, config, flag, module, provide, token } from "waggle/hive";

const flags = {
  "node-ip": flag.string({ default: "192.0.2.1", help: "IPv4 address of this node" }),
};
const NodeFactsConfig = token<ConfigOf<typeof flags>>("NodeFactsConfig");

/**
 * Stands in for Waggle's node-config cell, which makes devices and routes for pods: this program has no pods. The
 * ipcache cell needs the facts alone, and a token does not care who provides it.
 */
export const nodeFactsCell = module(
  "node-facts",
  "What this node is called and where it is",
  config(NodeFactsConfig, flags),
  provide(NodeNetworking, { settings: NodeFactsConfig }, ({ settings }) => {
    const facts: NodeConfig = {
      nodeName: "prefixd",
      clusterName: "default",
      podCidr: "10.0.1.0/24",
      podCidrV6: undefined,
      serviceCidrs: [],
      routerIpv4: settings.nodeIp,
      routerIpv6: undefined,
      nodeIpv4: settings.nodeIp,
      nodeIpv6: undefined,
      routingMode: "native",
      tunnelPort: 8472,
      devices: [],
      host: {
        name: "lo",
        ifindex: 1,
        mac: "00:00:00:00:00:00",
        mtu: 65_536,
        ipv4: [settings.nodeIp],
        ipv6: [],
      },
      overlay: undefined,
      mtu: 1500,
      routeMtu: 1500,
      masquerade: { ipv4: false, ipv6: false },
    };
    return { config: facts, checkIntervalMs: 5_000, changes: NEVER, setPeers: () => undefined };
  }),
);
