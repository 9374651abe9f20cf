import { ipv4Constant, ipv6Bytes, macBytes } from "../../datapath/address.ts";
import { type AttachmentKind, STATS_BASE } from "../../datapath/pipeline.ts";
import type { Templates } from "../datapath/index.ts";
import { podPrograms } from "../hook-linker/index.ts";
import { familiesOf, type NodeConfig, type NodeDevice } from "../node-config/index.ts";
import type { InstallPlan } from "./install-plan.ts";

type Constants = InstallPlan["constants"];

/** What runs at the devices of all pods. */
export function podPlan(
  node: NodeConfig,
  templates: Templates,
  conntrack: Readonly<Record<string, number>>,
): InstallPlan {
  return {
    ref: { name: podPrograms, kind: "lxc", families: familiesOf(node) },
    device: undefined,
    template: templates.lxc,
    constants: {
      ...familyConstants(node),
      ...nodeAddressConstants(node),
      ...hostConstants(node),
      ...tunnelConstants(node),
      cfg_tunnel_port: tunnelPort(node),
      cfg_mtu: node.mtu,
      ...conntrack,
    },
  };
}

/**
 * What runs at cilium_host or a device towards the outside.
 * @param statsBase where plugins count there
 */
export function devicePlan(
  kind: "host" | "netdev",
  device: NodeDevice,
  node: NodeConfig,
  templates: Templates,
  conntrack: Readonly<Record<string, number>>,
  statsBase: number,
): InstallPlan {
  const ipv4 = firstOf(device.ipv4, node.nodeIpv4);
  const ipv6 = firstOf(device.ipv6, node.nodeIpv6);
  const outside = kind === "netdev";
  return {
    ...nodeDevice(kind, device, node),
    template: templates.host,
    constants: {
      cfg_ifindex: device.ifindex,
      ...familyConstants(node),
      ...nodeAddressConstants(node),
      ...hostConstants(node),
      ...tunnelConstants(node),
      cfg_tunnel_port: tunnelPort(node),
      cfg_device_mac: macBytes(device.mac),
      cfg_device_ipv4: ipv4 === undefined ? 0 : ipv4Constant(ipv4),
      cfg_device_ipv6: ipv6Constant(ipv6),
      cfg_masquerade_ipv4: outside && node.masquerade.ipv4 && ipv4 !== undefined ? 1 : 0,
      cfg_masquerade_ipv6: outside && node.masquerade.ipv6 && ipv6 !== undefined ? 1 : 0,
      cfg_nodeport: 1, // at cilium_host backends' answers are led back to their clients
      cfg_mtu: device.mtu,
      cfg_is_l3_device: 0,
      [STATS_BASE]: statsBase,
      ...conntrack,
    },
  };
}

/**
 * What runs at the overlay's device.
 * @param statsBase where plugins count there
 */
export function overlayPlan(
  device: NodeDevice,
  node: NodeConfig,
  templates: Templates,
  statsBase: number,
): InstallPlan {
  return {
    ...nodeDevice("overlay", device, node),
    template: templates.overlay,
    constants: {
      cfg_ifindex: device.ifindex,
      ...familyConstants(node),
      ...routerConstants(node),
      ...hostConstants(node),
      [STATS_BASE]: statsBase,
    },
  };
}

/** Name of the attachment of a device of the node. */
export const deviceAttachment = (kind: Exclude<AttachmentKind, "lxc">, device: string): string =>
  `${kind}-${device}`;

function nodeDevice(
  kind: Exclude<AttachmentKind, "lxc">,
  { name, ifindex }: NodeDevice,
  node: NodeConfig,
): Pick<InstallPlan, "ref" | "device"> {
  return {
    ref: { name: deviceAttachment(kind, name), kind, families: familiesOf(node) },
    device: { name, ifindex },
  };
}

const familyConstants = (node: NodeConfig): Constants => ({
  cfg_enable_ipv4: 1,
  cfg_enable_ipv6: familiesOf(node).includes(6) ? 1 : 0,
});

const routerConstants = ({ routerIpv4, routerIpv6 }: NodeConfig): Constants => ({
  cfg_router_ipv4: ipv4Constant(routerIpv4),
  cfg_router_ipv6: ipv6Constant(routerIpv6),
});

const nodeAddressConstants = (node: NodeConfig): Constants => ({
  ...routerConstants(node),
  cfg_node_ipv4: node.nodeIpv4 === undefined ? 0 : ipv4Constant(node.nodeIpv4),
  cfg_node_ipv6: ipv6Constant(node.nodeIpv6),
});

const hostConstants = ({ host }: NodeConfig): Constants => ({
  cfg_host_ifindex: host.ifindex,
  cfg_host_mac: macBytes(host.mac),
});

const tunnelConstants = ({ overlay, routeMtu }: NodeConfig): Constants => ({
  cfg_tunnel_ifindex: overlay?.ifindex ?? 0,
  cfg_tunnel_mtu: overlay === undefined ? 0 : routeMtu,
});

/** 0: no tunnel. */
const tunnelPort = (node: NodeConfig): number => (node.overlay === undefined ? 0 : node.tunnelPort);

/** Sixteen bytes as on the wire; zeros for none. */
const ipv6Constant = (address: string | undefined): Buffer =>
  address === undefined || address === "" ? Buffer.alloc(16) : ipv6Bytes(address);

/** The preferred address where the device has it. */
const firstOf = (addresses: readonly string[], preferred: string | undefined): string | undefined =>
  addresses.find((address) => address === preferred) ?? addresses[0];
