import type { Observable } from "rxjs";

/** How pods' packets get to other nodes: in VXLAN over the underlay, or as they are, along routes. */
export type RoutingMode = "tunnel" | "native";

/** The node's own network facts. Devices change when somebody takes them away: see `NodeNetwork.changes`. */
export interface NodeConfig {
  readonly nodeName: string;
  /** The cluster that the node is one of. */
  readonly clusterName: string;
  /** Pods get their addresses from here: "10.0.1.0/24". */
  readonly podCidr: string;
  /** "fd00:10:0:1::/64"; undefined: pods have no IPv6. */
  readonly podCidrV6: string | undefined;
  /** Networks of services' addresses, "10.96.0.0/12": what no service has of them is refused. */
  readonly serviceCidrs: readonly string[];
  /** The pods' gateways; they live on cilium_host. */
  readonly routerIpv4: string;
  readonly routerIpv6: string | undefined;
  /** Where other nodes reach this one, on the underlay; undefined on a node without such an address. */
  readonly nodeIpv4: string | undefined;
  readonly nodeIpv6: string | undefined;
  readonly routingMode: RoutingMode;
  /** UDP port of the overlay, the same on all nodes. */
  readonly tunnelPort: number;
  /** Devices towards the outside, with their addresses. */
  readonly devices: readonly NodeDevice[];
  /** cilium_host. */
  readonly host: NodeDevice;
  /** cilium_vxlan; undefined in native routing. */
  readonly overlay: NodeDevice | undefined;
  /** MTU of pod interfaces. */
  readonly mtu: number;
  /** Largest IP packet on the way to another node: `mtu`, less what the overlay adds. */
  readonly routeMtu: number;
  /** Whether pods' packets to the world leave with the node's address, by family. */
  readonly masquerade: { readonly ipv4: boolean; readonly ipv6: boolean };
}

/** A device of the node. */
export interface NodeDevice {
  readonly name: string;
  readonly ifindex: number;
  readonly mac: string;
  readonly mtu: number;
  /** Addresses without prefix length, link-local ones left out. */
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
}

/** Another node, as far as routes to its pods need to know it. */
export interface Peer {
  readonly name: string;
  /** Its addresses on the underlay. */
  readonly ipv4?: string | undefined;
  readonly ipv6?: string | undefined;
  readonly podCidr: string;
  readonly podCidrV6?: string | undefined;
  readonly routerIpv4: string;
  readonly routerIpv6?: string | undefined;
}

/** The node's devices, addresses, routes and sysctls: made at start, watched and repaired from then on. */
export interface NodeNetwork {
  /** @throws Error before the node-config cell has started */
  readonly config: NodeConfig;
  /** How often what the kernel does not report of is compared with what it should be. */
  readonly checkIntervalMs: number;
  /** Every later config, as it becomes true: a device that had to be made anew has another index and MAC. */
  readonly changes: Observable<NodeConfig>;
  /**
   * Says which other nodes there are; routes to their pods follow at once. Until the first call, routes that an
   * earlier run of the agent made stay.
   *
   * @param departed pod CIDRs of nodes that have left: routed to cilium_host, whose programs refuse what nobody has
   */
  setPeers(peers: readonly Peer[], departed?: readonly string[]): void;
}
