import { cidrsOverlap, familyOf, parseCidr } from "../../datapath/address.ts";
import type { NetOps, Route } from "../../datapath/index.ts";
import type { NodeConfig, Peer } from "./types.ts";

/** Protocol number of the agent's routes, one that nobody has (/etc/iproute2/rt_protos): what has it is ours. */
export const routeProtocol = 87;

/** RT_TABLE_MAIN of rtnetlink(7). */
const mainTable = 254;

/** What routes the node should have. */
export interface RoutePlan {
  readonly routes: readonly Route[];
  /** Why pods of some nodes cannot be reached, in words. */
  readonly problems: readonly string[];
}

type RouteFacts = Pick<
  NodeConfig,
  | "host"
  | "podCidr"
  | "podCidrV6"
  | "serviceCidrs"
  | "routerIpv4"
  | "routerIpv6"
  | "routingMode"
  | "routeMtu"
  | "devices"
  | "nodeIpv4"
  | "nodeIpv6"
>;

/**
 * The node reaches every pod over cilium_host, from where programs deliver or encapsulate; in native routing pods of
 * other nodes over these nodes. What belongs to the cluster and nobody has leads there as well, in both modes, and is
 * refused: service networks, and the pod CIDRs of nodes that have left.
 */
export function planRoutes(
  node: RouteFacts,
  peers: readonly Peer[],
  departed: readonly string[] = [],
): RoutePlan {
  const { host, podCidr, podCidrV6, serviceCidrs, routerIpv4, routerIpv6 } = node;
  const routes: Route[] = [];
  const problems: string[] = [];
  const taken: { readonly cidr: string; readonly by: string }[] = [];
  const add = (name: string, cidr: string, route: Omit<Route, "destination"> | string): void => {
    const other = taken.find((one) => cidrsOverlap(one.cidr, cidr));
    if (other !== undefined) problems.push(`${cidr} of ${name} overlaps ${other.cidr} of ${other.by}`);
    else if (typeof route === "string") problems.push(`${cidr} of ${name}: ${route}`);
    else routes.push({ ...route, destination: cidr, protocol: routeProtocol });
    taken.push({ cidr, by: name });
  };
  const families = [
    { cidr: podCidr, router: routerIpv4, cidrOf: (peer: Peer) => peer.podCidr, family: 4 as const },
    { cidr: podCidrV6, router: routerIpv6, cidrOf: (peer: Peer) => peer.podCidrV6, family: 6 as const },
  ];
  for (const { cidr, router, cidrOf, family } of families) {
    if (cidr === undefined || router === undefined) continue;
    const overHost = { ifindex: host.ifindex, source: router, scope: "link" as const };
    add("this node", cidr, overHost);
    for (const peer of peers) {
      const remote = cidrOf(peer);
      if (remote === undefined) continue;
      const route =
        node.routingMode === "tunnel" ? { ...overHost, mtu: node.routeMtu } : nativeRoute(node, peer, family);
      add(peer.name, remote, route);
    }
    const sameFamily = (one: string): boolean => familyOf(parseCidr(one).address) === family;
    for (const service of serviceCidrs.filter(sameFamily)) add("services", service, overHost);
    for (const left of departed.filter(sameFamily)) add("a node that has left", left, overHost);
  }
  return { routes, problems };
}

/** Over the other node, which must be a neighbour on the device that has this node's address. */
function nativeRoute(node: RouteFacts, peer: Peer, family: 4 | 6): Omit<Route, "destination"> | string {
  const gateway = family === 4 ? peer.ipv4 : peer.ipv6;
  const own = family === 4 ? node.nodeIpv4 : node.nodeIpv6;
  if (gateway === undefined || gateway === "") return `the node has no IPv${family} address to route over`;
  const device = node.devices.find(({ ipv4, ipv6 }) => own !== undefined && [...ipv4, ...ipv6].includes(own));
  if (device === undefined) return `this node has no IPv${family} address on a device to route over`;
  return { gateway, ifindex: device.ifindex, scope: "global" };
}

/**
 * Makes the agent's routes those of the plan.
 *
 * @param former destinations of the plan before: what is planned for the first time was not gone, and what is planned
 *   no more was not wrong
 * @param keepOthers leaves routes of the agent that the plan knows nothing of
 * @returns what was not as it should be, in words
 */
export async function ensureRoutes(
  net: NetOps,
  existing: readonly Route[],
  wanted: readonly Route[],
  former: ReadonlySet<string>,
  keepOthers: boolean,
): Promise<readonly string[]> {
  const changed: string[] = [];
  const main = existing.filter(({ table = mainTable }) => table === mainTable);
  for (const route of wanted) {
    const there = main.filter(({ destination }) => destination === route.destination);
    if (there.some((one) => sameRoute(one, route))) continue;
    await net.replaceRoute(route);
    if (there.length > 0) changed.push(`the route to ${route.destination} was another`);
    else if (former.has(route.destination)) changed.push(`the route to ${route.destination} was gone`);
  }
  if (keepOthers) return changed;
  for (const route of main) {
    if (route.protocol !== routeProtocol || wanted.some((one) => one.destination === route.destination))
      continue;
    if ((await net.deleteRoute(route)) && !former.has(route.destination))
      changed.push(`the route to ${route.destination} was nobody's`);
  }
  return changed;
}

/** Whether two routes to one destination are the same. IPv6 routes have no scope in the kernel. */
export function sameRoute(there: Route, wanted: Route): boolean {
  const fields = ["ifindex", "gateway", "source", "mtu", "protocol", "type"] as const;
  return fields.every((field) => there[field] === wanted[field]);
}
