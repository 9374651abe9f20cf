// The wires between the nodes of a world and the outside.
//
//   one node:   outside [eth0 172.18.0.1/24] ════ [eth0 172.18.0.2/24] node
//
//   several:    outside [eth0 172.18.0.1/24] ──┐
//               node1 [eth0 172.18.0.11/24] ───┤ bridge `underlay` (172.18.0.250/24), in a namespace of its own
//               node2 [eth0 172.18.0.12/24] ───┘
//
// Interfaces are created inside their namespaces from the start; none ever shows in the root namespace.

import { setTimeout as sleep } from "node:timers/promises";
import { type NodeAddresses, underlayNetwork } from "./addressing.ts";
import { run } from "./command.ts";
import { ipBatch, setSysctl } from "./namespaces.ts";

/** A namespace to be wired. */
export interface Host {
  readonly namespace: string;
  readonly ipv4: string;
  readonly ipv6: string;
}

/** Wires of a world. */
export interface Wiring {
  readonly nodes: readonly (NodeAddresses & { readonly name: string; readonly namespace: string })[];
  readonly outside: string;
  /** Namespace of the bridge; undefined where one node and the outside share a cable. */
  readonly underlay: string | undefined;
  readonly ipv6: boolean;
  /** Whether the outside knows the way to the pods. */
  readonly podRoutes: boolean;
}

const device = "eth0";
const bridge = "underlay";
const connectTimeoutMs = 10_000;
const pollMs = 20;
const { prefixLength, prefixLengthV6, outsideIpv4, outsideIpv6, etcdIpv4 } = underlayNetwork;

/** Lays a cable: `device` in one namespace, `peer` in another. */
async function layCable(namespace: string, other: string, peer: string): Promise<void> {
  const ends = ["netns", namespace, "type", "veth", "peer", "name", peer, "netns", other];
  await run(["ip", "link", "add", device, ...ends]);
}

/** The address that a host of the underlay has on its link alone: "fe80::11" of "fd00:18::11". */
const linkLocal = (address: string): string => address.replace(/^.*::/, "fe80::");

/** Gives a host its addresses. */
async function configure({ namespace, ipv4, ipv6: address }: Host, ipv6: boolean): Promise<void> {
  await ipBatch(
    namespace,
    `address add ${ipv4}/${prefixLength} dev ${device}`,
    // Routes over an address under examination (RFC 4862) would fail.
    ...(ipv6 ? [`address add ${address}/${prefixLengthV6} dev ${device} nodad`] : []),
    // A router asks for the neighbours of those it forwards for from its own address on the link, or not at all.
    ...(ipv6 ? [`address add ${linkLocal(address)}/64 dev ${device} nodad`] : []),
    `link set ${device} up`,
  );
}

async function makeBridge(underlay: string, ports: readonly string[]): Promise<void> {
  await ipBatch(
    underlay,
    // Without snooping neighbour solicitations reach everybody, whatever the bridge has learnt of groups.
    `link add ${bridge} type bridge stp_state 0 mcast_snooping 0`,
    `address add ${etcdIpv4}/${prefixLength} dev ${bridge}`,
    `link set ${bridge} up`,
    ...ports.flatMap((port) => [`link set ${port} master ${bridge}`, `link set ${port} up`]),
  );
}

/**
 * Waits until the kernel has noticed that a cable leads somewhere, which it looks at once a second at worst: until
 * then a host has its IPv6 addresses, but does not answer for them.
 */
async function untilConnected(namespace: string): Promise<void> {
  const deadline = Date.now() + connectTimeoutMs;
  for (;;) {
    const shown = await run(["ip", "-n", namespace, "-j", "link", "show", "dev", device]);
    const [link] = JSON.parse(shown) as { readonly operstate: string }[];
    if (link?.operstate === "UP") return;
    if (Date.now() > deadline) throw new Error(`${device} of ${namespace} is ${link?.operstate}, not UP`);
    await sleep(pollMs);
  }
}

/** Lays all cables of a world, with addresses and routes. @throws CommandError */
export async function wire({ nodes, outside, underlay, ipv6, podRoutes }: Wiring): Promise<void> {
  if (underlay === undefined) {
    await layCable(nodes[0]!.namespace, outside, device);
  } else {
    for (const { namespace, name } of nodes) await layCable(namespace, underlay, name);
    await layCable(outside, underlay, "outside");
    await makeBridge(underlay, [...nodes.map(({ name }) => name), "outside"]);
  }
  await configure({ namespace: outside, ipv4: outsideIpv4, ipv6: outsideIpv6 }, ipv6);
  for (const node of nodes) {
    await configure(node, ipv6);
    await ipBatch(
      node.namespace,
      `route add default via ${outsideIpv4}`,
      ...(ipv6 ? [`route add ::/0 via ${outsideIpv6}`] : []),
    );
    await setSysctl(node.namespace, "net/ipv4/ip_forward", "1");
    if (ipv6) await setSysctl(node.namespace, "net/ipv6/conf/all/forwarding", "1");
    if (!podRoutes) continue;
    await ipBatch(
      outside,
      `route add ${node.podCidr} via ${node.ipv4}`,
      ...(ipv6 ? [`route add ${node.podCidrV6} via ${node.ipv6}`] : []),
    );
  }
  for (const namespace of [outside, ...nodes.map((node) => node.namespace)]) await untilConnected(namespace);
}

/** Pulls a node's cable out of the bridge, or plugs it in again. */
export async function setPlugged(underlay: string, node: string, plugged: boolean): Promise<void> {
  await run(["ip", "-n", underlay, "link", "set", node, plugged ? "up" : "down"]);
}
