// Addresses of a world. Two worlds may use the same ones, for they share no wire.

/** Most nodes of a world: each has a number of two digits in its addresses. */
export const mostNodes = 50;

/** Addresses of a node and of the pods on it. */
export interface NodeAddresses {
  /** On the underlay. */
  readonly ipv4: string;
  readonly ipv6: string;
  readonly podCidr: string;
  readonly podCidrV6: string;
}

/** What a world of one node goes by. */
export interface WorldAddressing {
  readonly nodeIpv4: string;
  readonly nodeIpv6: string;
  readonly outsideIpv4: string;
  readonly outsideIpv6: string;
  readonly podCidr: string;
  readonly podCidrV6: string;
}

/** The network that nodes and the outside host share. */
export const underlayNetwork = {
  prefixLength: 24,
  prefixLengthV6: 64,
  outsideIpv4: "172.18.0.1",
  outsideIpv6: "fd00:18::1",
  /** Where etcd listens, in a world of several nodes. */
  etcdIpv4: "172.18.0.250",
} as const;

/** Networks that services' addresses may be given from, by convention. */
export const serviceNetworks = ["10.96.0.0/12", "fd00:96::/112"] as const;

/**
 * Addresses of the node with this number, from 1. Numbers are decimal digits in IPv6 addresses as well, so that
 * people recognise them: node 12 is 172.18.0.22 and fd00:18::22.
 */
export function nodeAddresses(number: number, nodes: number): NodeAddresses {
  const host = nodes === 1 ? 2 : 10 + number;
  return {
    ipv4: `172.18.0.${host}`,
    ipv6: `fd00:18::${host}`,
    podCidr: `10.0.${number}.0/24`,
    podCidrV6: `fd00:10:0:${number}::/64`,
  };
}
