import { familyOf } from "../../datapath/address.ts";
import type { NodeConfig } from "../node-config/index.ts";
import { addressKey, canonicalIp, type Family } from "./keys.ts";
import type { FrontendKind, IpPort, ServiceSpec, TrafficPolicy } from "./types.ts";

/** The addresses at which a node serves node ports, and the name that tells its backends from others'. */
export interface ServingNode {
  readonly name: string;
  readonly addresses: Readonly<Record<Family, readonly string[]>>;
}

/** A frontend that follows from a service on a node. */
export interface WantedFrontend extends IpPort {
  readonly kind: FrontendKind;
  readonly policy: TrafficPolicy;
  /** What it needs for itself alone: its address and port, and for a node port that port on all nodes. */
  readonly claims: readonly string[];
}

/** Where a node serves node ports: its own, its devices' and its router's addresses. */
function servingNode(config: NodeConfig): ServingNode {
  const { nodeName: name, devices, nodeIpv4, nodeIpv6, routerIpv4, routerIpv6 } = config;
  const unique = (addresses: readonly (string | undefined)[]): readonly string[] => [
    ...new Set(addresses.filter((address) => address !== undefined).map(canonicalIp)),
  ];
  return {
    name,
    addresses: {
      4: unique([nodeIpv4, ...devices.flatMap(({ ipv4 }) => ipv4), routerIpv4]),
      6: unique([nodeIpv6, ...devices.flatMap(({ ipv6 }) => ipv6), routerIpv6]),
    },
  };
}

/** What `servingNode` says of the node as it is at each call. */
export function servingNodes(config: () => NodeConfig): () => ServingNode {
  let known: { readonly config: NodeConfig; readonly node: ServingNode } | undefined;
  return () => {
    const now = config();
    if (known?.config !== now) known = { config: now, node: servingNode(now) };
    return known.node;
  };
}

/** Whether node ports are served at the same addresses, and the same backends are local. */
export function sameServingNode(left: ServingNode, right: ServingNode): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

/** What frontends follow from. */
type Placed = Omit<ServiceSpec, "name" | "backends">;

/** The cluster IP first, then external IPs, then the node port at every address. */
export function frontendsOf(service: Placed, node: ServingNode): readonly WantedFrontend[] {
  const { ip, port, protocol, nodePort, externalIps } = service;
  const at = (kind: FrontendKind, policy: TrafficPolicy, where: IpPort, ...claims: string[]) => ({
    kind,
    policy,
    ip: where.ip,
    port: where.port,
    claims: [...claims, addressKey(where, protocol)],
  });
  const family = familyOf(ip);
  const outside = service.externalTrafficPolicy;
  return [
    at("cluster-ip", service.internalTrafficPolicy, { ip, port }),
    ...externalIps.map((external) => at("external-ip", outside, { ip: external, port })),
    ...(nodePort === 0 ? [] : node.addresses[family]).map((address) =>
      at("node-port", outside, { ip: address, port: nodePort }, nodePortClaim(family, nodePort, protocol)),
    ),
  ];
}

/** A node port is one service's on all nodes, whatever their addresses; the two families have theirs apart. */
export const nodePortClaim = (family: Family, port: number, protocol: string): string =>
  `node port ${port}/${protocol} of IPv${family}`;

/** Everything that a service needs for itself alone, this node's addresses included. */
export function claimsOf(service: Placed, node: ServingNode): readonly string[] {
  const claims = new Set(frontendsOf(service, node).flatMap((frontend) => frontend.claims));
  const { nodePort, protocol } = service;
  if (nodePort !== 0) claims.add(nodePortClaim(familyOf(service.ip), nodePort, protocol));
  return [...claims];
}

/** Whether two say the same of where a service is, on whatever node. */
export function samePlaces(left: Placed, right: Placed): boolean {
  const places = ({ ip, port, protocol, nodePort, externalIps }: Placed): string =>
    JSON.stringify([ip, port, protocol, nodePort, [...externalIps].sort()]);
  return places(left) === places(right);
}
