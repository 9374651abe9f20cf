/** A pod's addresses, one of each family that the node has. */
export interface PodAddresses {
  readonly ipv4: string;
  /** Empty on a node without an IPv6 pod CIDR. */
  readonly ipv6: string;
}

/** Addresses that a pod is to get; undefined: the next free one. */
export interface WantedAddresses {
  readonly ipv4?: string | undefined;
  readonly ipv6?: string | undefined;
}

/** How much of a pod CIDR is in use. */
export interface PoolUse {
  readonly cidr: string;
  /** Addresses that pods have. */
  readonly used: number;
  /** Addresses that pods can have; of IPv6 networks about so many. */
  readonly capacity: number;
}

/** Hands out pod addresses of the node's pod CIDRs. */
export interface Ipam {
  /**
   * One address of each family, or none at all.
   * @param owner for messages
   * @throws RefusalError INVALID_ARGUMENT, ALREADY_EXISTS, RESOURCE_EXHAUSTED
   */
  allocate(owner: string, wanted?: WantedAddresses): PodAddresses;
  /** Takes the very addresses that a pod had in an earlier run. @throws RefusalError when they are not to be had */
  restore(owner: string, addresses: PodAddresses): void;
  /** Harmless for addresses that are not allocated. */
  release(addresses: PodAddresses): void;
  /** Who has an address, of either family. */
  owner(address: string): string | undefined;
  /** IPv4 first. */
  readonly pools: readonly PoolUse[];
}
