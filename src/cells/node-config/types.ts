/** The node's own network facts, fixed for the life of the agent. */
export interface NodeConfig {
  readonly nodeName: string;
  /** Pod addresses are taken from here, "10.0.1.0/24". */
  readonly podCidr: string;
  /** The pods' gateway; lives on cilium_host. */
  readonly routerIpv4: string;
  /** Devices towards the outside, with their addresses. */
  readonly devices: readonly NodeDevice[];
  readonly host: NodeDevice;
  /** MTU of pod interfaces. */
  readonly mtu: number;
}

export interface NodeDevice {
  readonly name: string;
  readonly ifindex: number;
  readonly mac: string;
  readonly mtu: number;
  /** Addresses without prefix length. */
  readonly ipv4: readonly string[];
}

/** Available after start: cilium_host/cilium_net, the pods' route and sysctls are in place. */
export interface NodeNetwork {
  readonly config: NodeConfig;
}
