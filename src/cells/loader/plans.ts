import { ipv4Constant, ipv6Bytes, macBytes } from "../../datapath/address.ts";
import { secondsOfThisBoot } from "../../datapath/index.ts";
import type { AttachmentKind } from "../../datapath/pipeline.ts";
import type { Templates } from "../datapath/index.ts";
import type { Endpoint } from "../endpoints/types.ts";
import { familiesOf, type NodeConfig, type NodeDevice } from "../node-config/index.ts";
import type { InstallPlan } from "./installer.ts";

type Constants = InstallPlan["constants"];

/** Name of an endpoint's attachment. */
export const endpointAttachment = (id: number): string => `lxc-${id}`;

/** Endpoint id of an attachment's name, or undefined for node devices. */
export function attachmentEndpoint(name: string): number | undefined {
  const match = /^lxc-(\d+)$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

/** Attachments are named `<kind>-<device or id>`. */
export function attachmentKind(name: string): AttachmentKind {
  const kind = (["lxc", "host", "overlay"] as const).find((candidate) => name.startsWith(`${candidate}-`));
  return kind ?? "netdev";
}

/** What runs at an endpoint's device. @param maps its own, by C name; they make no difference to what runs */
export function endpointPlan(
  endpoint: Endpoint,
  node: NodeConfig,
  templates: Templates,
  maps: InstallPlan["maps"],
  lifetimes: Readonly<Record<string, number>>,
): InstallPlan {
  const { id, ifindex, identity } = endpoint;
  const shared = {
    cfg_endpoint_id: id,
    cfg_endpoint_ipv4: ipv4Constant(endpoint.ipv4),
    cfg_identity: identity,
    cfg_ifindex: ifindex,
  };
  return {
    ref: {
      name: endpointAttachment(id),
      kind: "lxc",
      endpointId: id,
      families: familiesOf(node),
      constants: shared,
    },
    device: endpoint.hostInterface,
    ifindex,
    template: templates.lxc,
    constants: {
      ...shared,
      ...familyConstants(node),
      ...nodeAddressConstants(node),
      ...hostConstants(node),
      ...tunnelConstants(node),
      cfg_endpoint_ipv6: ipv6Constant(endpoint.ipv6),
      cfg_endpoint_mac: macBytes(endpoint.mac),
      cfg_node_mac: macBytes(endpoint.nodeMac),
      cfg_enforce_ingress: endpoint.spec.policy.enforceIngress ? 1 : 0,
      cfg_enforce_egress: endpoint.spec.policy.enforceEgress ? 1 : 0,
      cfg_mtu: node.mtu,
      cfg_created_s: secondsOfThisBoot(endpoint.createdOn),
      ...lifetimes,
    },
    maps,
  };
}

/** What runs at cilium_host or a device towards the outside. */
export function devicePlan(
  kind: "host" | "netdev",
  device: NodeDevice,
  node: NodeConfig,
  templates: Templates,
  lifetimes: Readonly<Record<string, number>>,
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
      cfg_tunnel_port: node.overlay === undefined ? 0 : node.tunnelPort,
      cfg_device_mac: macBytes(device.mac),
      cfg_device_ipv4: ipv4 === undefined ? 0 : ipv4Constant(ipv4),
      cfg_device_ipv6: ipv6Constant(ipv6),
      cfg_masquerade_ipv4: outside && node.masquerade.ipv4 && ipv4 !== undefined ? 1 : 0,
      cfg_masquerade_ipv6: outside && node.masquerade.ipv6 && ipv6 !== undefined ? 1 : 0,
      cfg_nodeport: 1, // at cilium_host backends' answers are led back to their clients
      cfg_mtu: device.mtu,
      cfg_is_l3_device: 0,
      cfg_created_s: 0,
      ...lifetimes,
    },
  };
}

/** What runs at the overlay's device. */
export function overlayPlan(device: NodeDevice, node: NodeConfig, templates: Templates): InstallPlan {
  return {
    ...nodeDevice("overlay", device, node),
    template: templates.overlay,
    constants: {
      cfg_ifindex: device.ifindex,
      ...familyConstants(node),
      ...routerConstants(node),
      ...hostConstants(node),
    },
  };
}

function nodeDevice(
  kind: Exclude<AttachmentKind, "lxc">,
  { name, ifindex }: NodeDevice,
  node: NodeConfig,
): Pick<InstallPlan, "ref" | "device" | "ifindex" | "maps"> {
  return {
    ref: {
      name: `${kind}-${name}`,
      kind,
      endpointId: 0,
      families: familiesOf(node),
      constants: { cfg_endpoint_id: 0, cfg_identity: 0, cfg_ifindex: ifindex },
    },
    device: name,
    ifindex,
    maps: {},
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

/** Sixteen bytes as on the wire; zeros for none. */
const ipv6Constant = (address: string | undefined): Buffer =>
  address === undefined || address === "" ? Buffer.alloc(16) : ipv6Bytes(address);

/** The preferred address where the device has it. */
const firstOf = (addresses: readonly string[], preferred: string | undefined): string | undefined =>
  addresses.find((address) => address === preferred) ?? addresses[0];
