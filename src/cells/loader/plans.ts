import { ipv4Constant, macBytes } from "../../datapath/address.ts";
import { type RawMap, secondsOfThisBoot } from "../../datapath/index.ts";
import { POLICY_MAP } from "../../datapath/maps/index.ts";
import type { Templates } from "../datapath/index.ts";
import type { Endpoint } from "../endpoints/types.ts";
import type { NodeConfig, NodeDevice } from "../node-config/index.ts";
import type { InstallPlan } from "./installer.ts";

/** Name of an endpoint's attachment. */
export const endpointAttachment = (id: number): string => `lxc-${id}`;

/** Endpoint id of an attachment's name, or undefined for node devices. */
export function attachmentEndpoint(name: string): number | undefined {
  const match = /^lxc-(\d+)$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

/** What runs at an endpoint's device. */
export function endpointPlan(
  endpoint: Endpoint,
  node: NodeConfig,
  templates: Templates,
  policy: RawMap,
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
    ref: { name: endpointAttachment(id), kind: "lxc", endpointId: id, constants: shared },
    device: endpoint.hostInterface,
    ifindex,
    template: templates.lxc,
    constants: {
      ...shared,
      cfg_endpoint_mac: macBytes(endpoint.mac),
      cfg_node_mac: macBytes(endpoint.nodeMac),
      cfg_router_ipv4: ipv4Constant(node.routerIpv4),
      cfg_host_ifindex: node.host.ifindex,
      cfg_host_mac: macBytes(node.host.mac),
      cfg_enforce_ingress: endpoint.spec.policy.enforceIngress ? 1 : 0,
      cfg_enforce_egress: endpoint.spec.policy.enforceEgress ? 1 : 0,
      cfg_mtu: node.mtu,
      cfg_created_s: secondsOfThisBoot(endpoint.createdOn),
      ...lifetimes,
    },
    maps: { [POLICY_MAP]: policy },
  };
}

/** What runs at cilium_host or a device towards the outside. */
export function devicePlan(
  kind: "host" | "netdev",
  device: NodeDevice,
  node: NodeConfig,
  templates: Templates,
): InstallPlan {
  return {
    ref: {
      name: `${kind}-${device.name}`,
      kind,
      endpointId: 0,
      constants: { cfg_endpoint_id: 0, cfg_identity: 0, cfg_ifindex: device.ifindex },
    },
    device: device.name,
    ifindex: device.ifindex,
    template: templates.host,
    constants: {
      cfg_ifindex: device.ifindex,
      cfg_router_ipv4: ipv4Constant(node.routerIpv4),
      cfg_host_ifindex: node.host.ifindex,
      cfg_host_mac: macBytes(node.host.mac),
      cfg_device_mac: macBytes(device.mac),
      cfg_mtu: device.mtu,
      cfg_is_l3_device: 0,
    },
    maps: {},
  };
}
