import type { LinkInfo, NetOps, Route } from "../../datapath/index.ts";
import type { PodAddresses } from "../ipam/index.ts";
import { hostPrefix, type NodeConfig } from "../node-config/index.ts";

/** The namespace's loopback device is always the first. */
const loopbackIfindex = 1;

/** What a pod's namespace gets of one family. */
interface FamilyPlan {
  readonly address: string;
  readonly routes: readonly Route[];
}

/**
 * Everything goes to the router, whose MAC address the programs at the other end of the pair answer for. Packets that
 * leave the node have less room than the device where they are encapsulated; those for pods nearby have all of it.
 */
function planFamily(
  peer: Pick<LinkInfo, "ifindex">,
  node: NodeConfig,
  family: {
    readonly address: string;
    readonly router: string;
    readonly podCidr: string;
    readonly anywhere: string;
  },
): FamilyPlan {
  const { ifindex } = peer;
  const { address, router, podCidr, anywhere } = family;
  const gateway = { gateway: router, ifindex, source: address };
  const narrow = node.routeMtu < node.mtu;
  return {
    address: hostPrefix(address),
    routes: [
      { destination: hostPrefix(router), ifindex, scope: "link" },
      ...(narrow ? [{ ...gateway, destination: podCidr, mtu: node.mtu }] : []),
      { ...gateway, destination: anywhere, ...(narrow ? { mtu: node.routeMtu } : {}) },
    ],
  };
}

function plan(
  peer: Pick<LinkInfo, "ifindex">,
  { ipv4, ipv6 }: PodAddresses,
  node: NodeConfig,
): readonly FamilyPlan[] {
  const { podCidr, podCidrV6, routerIpv4, routerIpv6 } = node;
  const first = planFamily(peer, node, { address: ipv4, router: routerIpv4, podCidr, anywhere: "0.0.0.0/0" });
  if (ipv6 === "" || podCidrV6 === undefined || routerIpv6 === undefined) return [first];
  const second = { address: ipv6, router: routerIpv6, podCidr: podCidrV6, anywhere: "::/0" };
  return [first, planFamily(peer, node, second)];
}

/** Gives a pod's interface its addresses and routes. May be repeated. */
export async function configurePod(
  net: NetOps,
  peer: LinkInfo,
  addresses: PodAddresses,
  node: NodeConfig,
): Promise<void> {
  await net.setLink(loopbackIfindex, { up: true });
  await net.setLink(peer.ifindex, { up: true });
  for (const { address, routes } of plan(peer, addresses, node)) {
    await net.addAddress(peer.ifindex, address, { nodad: true });
    for (const route of routes) await net.replaceRoute(route);
  }
}

/** Takes back what `configurePod` did, as far as it is there. */
export async function unconfigurePod(
  net: NetOps,
  peer: LinkInfo,
  addresses: PodAddresses,
  node: NodeConfig,
): Promise<void> {
  for (const { address, routes } of plan(peer, addresses, node).toReversed()) {
    for (const route of routes.toReversed()) await net.deleteRoute(route);
    await net.deleteAddress(peer.ifindex, address);
  }
}
