import type { Neighbour, NetOps, Route } from "../../datapath/index.ts";
import type { PodAddresses } from "../ipam/index.ts";
import { hostPrefix, type NodeConfig, routeProtocol, sameRoute } from "../node-config/index.ts";

/** The namespace's loopback device is always the first. */
const loopbackIfindex = 1;

/** RT_TABLE_MAIN of rtnetlink(7). */
const mainTable = 254;

/** The pod's end of its pair, and who is at the other end of it. */
export interface PodLink {
  readonly ifindex: number;
  /** MAC address of the node's end: what a pod that asks for its gateway is told. */
  readonly nodeMac: string;
}

/** What a pod's namespace gets of one family. */
interface FamilyPlan {
  readonly address: string;
  readonly gateway: Neighbour;
  readonly routes: readonly Route[];
}

/**
 * Everything goes to the router, whose MAC address the programs at the other end of the pair answer for. The pod is
 * told it for good: an entry that ages has to be asked for again and again, and packets take the slow way through the
 * stack as long as it is not confirmed. Packets that leave the node have less room than the device where they are
 * encapsulated; those for pods nearby have all of it.
 */
function planFamily(
  { ifindex, nodeMac }: PodLink,
  node: NodeConfig,
  family: {
    readonly address: string;
    readonly router: string;
    readonly podCidr: string;
    readonly anywhere: string;
  },
): FamilyPlan {
  const { address, router, podCidr, anywhere } = family;
  const gateway = { gateway: router, ifindex, source: address };
  const narrow = node.routeMtu < node.mtu;
  const routes: readonly Route[] = [
    { destination: hostPrefix(router), ifindex, scope: "link" },
    ...(narrow ? [{ ...gateway, destination: podCidr, mtu: node.mtu }] : []),
    { ...gateway, destination: anywhere, ...(narrow ? { mtu: node.routeMtu } : {}) },
  ];
  return {
    address: hostPrefix(address),
    gateway: { ifindex, address: router, mac: nodeMac, permanent: true, protocol: routeProtocol },
    routes: routes.map((route) => ({ ...route, protocol: routeProtocol })),
  };
}

function plan(link: PodLink, { ipv4, ipv6 }: PodAddresses, node: NodeConfig): readonly FamilyPlan[] {
  const { podCidr, podCidrV6, routerIpv4, routerIpv6 } = node;
  const first = planFamily(link, node, { address: ipv4, router: routerIpv4, podCidr, anywhere: "0.0.0.0/0" });
  if (ipv6 === "" || podCidrV6 === undefined || routerIpv6 === undefined) return [first];
  const second = { address: ipv6, router: routerIpv6, podCidr: podCidrV6, anywhere: "::/0" };
  return [first, planFamily(link, node, second)];
}

/** Gives a pod's interface its addresses, gateways and routes. May be repeated. */
export async function configurePod(
  net: NetOps,
  link: PodLink,
  addresses: PodAddresses,
  node: NodeConfig,
): Promise<void> {
  // Asked for in this order, which the kernel keeps, and without waiting for each answer.
  const asked = [net.setLink(loopbackIfindex, { up: true }), net.setLink(link.ifindex, { up: true })];
  for (const { address, gateway, routes } of plan(link, addresses, node)) {
    asked.push(net.addAddress(link.ifindex, address, { nodad: true }), net.replaceNeighbour(gateway));
    for (const route of routes) asked.push(net.replaceRoute(route));
  }
  const failed = (await Promise.allSettled(asked)).find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}

/** Takes back what `configurePod` did, as far as it is there. */
export async function unconfigurePod(
  net: NetOps,
  link: PodLink,
  addresses: PodAddresses,
  node: NodeConfig,
): Promise<void> {
  for (const { address, gateway, routes } of plan(link, addresses, node).toReversed()) {
    // Of whatever protocol: earlier versions gave them none of their own.
    for (const { protocol: _protocol, ...route } of routes.toReversed()) await net.deleteRoute(route);
    await net.deleteNeighbour(gateway);
    await net.deleteAddress(link.ifindex, address);
  }
}

/**
 * Makes a pod's addresses, gateways and routes what they should be; those of an earlier router, or another routing mode,
 * go.
 * @returns what was not as it should be, in words
 */
export async function repairPod(
  net: NetOps,
  link: PodLink,
  addresses: PodAddresses,
  node: NodeConfig,
): Promise<readonly string[]> {
  const plans = plan(link, addresses, node);
  const [ownAddresses, ownNeighbours, ownRoutes] = await Promise.all([
    net.addresses(link.ifindex),
    net.neighbours(link.ifindex),
    net.routes(),
  ]);
  const there = new Set(ownAddresses.map(({ cidr }) => cidr));
  const main = ownRoutes.filter(
    ({ ifindex, table }) => ifindex === link.ifindex && (table ?? mainTable) === mainTable,
  );
  const repairs: string[] = [];
  for (const { address, gateway, routes } of plans) {
    if (!there.has(address)) {
      await net.addAddress(link.ifindex, address, { nodad: true });
      repairs.push(`the address ${address} was gone`);
    }
    const known = ownNeighbours.find((one) => one.address === gateway.address);
    if (known === undefined || !sameNeighbour(known, gateway)) {
      await net.replaceNeighbour(gateway);
      repairs.push(`the neighbour ${gateway.address} was ${known === undefined ? "gone" : "another"}`);
    }
    for (const route of routes) {
      const same = main.filter(({ destination }) => destination === route.destination);
      if (same.some((one) => sameRoute(one, route))) continue;
      await net.replaceRoute(route);
      repairs.push(`the route to ${route.destination} was ${same.length === 0 ? "gone" : "another"}`);
    }
  }
  const wanted = new Set(plans.flatMap(({ routes }) => routes.map(({ destination }) => destination)));
  for (const route of main) {
    if (route.protocol !== routeProtocol || wanted.has(route.destination)) continue;
    if (await net.deleteRoute(route)) repairs.push(`the route to ${route.destination} was nobody's`);
  }
  const gateways = new Set(plans.map(({ gateway }) => gateway.address));
  for (const neighbour of ownNeighbours) {
    if (neighbour.protocol !== routeProtocol || gateways.has(neighbour.address)) continue;
    if (await net.deleteNeighbour(neighbour)) repairs.push(`the neighbour ${neighbour.address} was nobody's`);
  }
  return repairs;
}

function sameNeighbour(there: Neighbour, wanted: Neighbour): boolean {
  const fields = ["mac", "permanent", "protocol"] as const;
  return fields.every((field) => there[field] === wanted[field]);
}
