import { isIPv4, isIPv6 } from "node:net";
import { hostname } from "node:os";
import {
  cidrContains,
  cidrsOverlap,
  formatIpv4,
  ipv6Bytes,
  ipv6FromBytes,
  parseCidr,
  parseIpv4,
} from "../../datapath/address.ts";
import { flag, SettingConflictError } from "../../hive/index.ts";
import type { NodeDevice, RoutingMode } from "./types.ts";

/** What pods' networks look like. */
const podNetworks = {
  4: { family: 4, prefixLengths: [8, 29], example: "10.0.1.0/24" },
  6: { family: 6, prefixLengths: [48, 124], example: "fd00:10:0:1::/64" },
} as const;

/** What a network may look like. */
interface NetworkRule {
  readonly family: 4 | 6;
  /** Shortest and longest. */
  readonly prefixLengths: readonly [number, number];
  readonly example: string;
}

/** What networks of services look like. */
const serviceNetworkOf = {
  4: { family: 4, prefixLengths: [8, 30], example: "10.96.0.0/12" },
  6: { family: 6, prefixLengths: [48, 126], example: "fd00:96::/112" },
} as const;

/** Flags of the node-config cell. */
export const nodeFlags = {
  "node-name": flag.string({
    default: hostname(),
    help: "name of this node, unique in its cluster",
    validate: (name) =>
      /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?$/.test(name)
        ? undefined
        : "must be 1 to 253 letters, digits and -_.",
  }),
  "cluster-name": flag.string({
    default: "default",
    help: "name of the cluster that this node is one of",
    validate: (name) =>
      /^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$/.test(name) ? undefined : "must be 1 to 32 of a-z, 0-9 and -",
  }),
  "node-ip": flag.string({
    default: "",
    help: "IPv4 address under which other nodes reach this one; by default the first of the devices'",
    validate: (address) => (address === "" || isIPv4(address) ? undefined : "must be an IPv4 address"),
  }),
  "node-ipv6": flag.string({
    default: "",
    help: "IPv6 address under which other nodes reach this one; by default the first of the devices'",
    validate: (address) => (address === "" || isIPv6(address) ? undefined : "must be an IPv6 address"),
  }),
  "pod-cidr": flag.string({
    default: "10.0.1.0/24",
    help: "IPv4 network that pods get their addresses from",
    validate: (text) => cidrProblem(text, podNetworks[4]),
  }),
  "pod-cidr-v6": flag.string({
    default: "",
    help: "IPv6 network that pods get their addresses from; without it they have no IPv6",
    validate: (text) => (text === "" ? undefined : cidrProblem(text, podNetworks[6])),
  }),
  "service-cidr": flag.list({
    default: [],
    help: "networks of services' addresses: what no service has of them is refused, for pods and for the node",
    validate: (list) =>
      list.map((text) => cidrProblem(text, serviceNetworkOf[text.includes(":") ? 6 : 4])).find(Boolean),
  }),
  "router-ip": flag.string({
    default: "",
    help: "the pods' IPv4 gateway; by default the first address of the pod CIDR",
    validate: (address) => (address === "" || isIPv4(address) ? undefined : "must be an IPv4 address"),
  }),
  "routing-mode": flag.choice({
    choices: ["tunnel", "native"],
    default: "tunnel",
    help: "how packets get to pods of other nodes: in VXLAN, or as they are over routes to the nodes",
  }),
  "tunnel-port": flag.int({
    default: 8472,
    help: "UDP port of the overlay, the same on all nodes",
    validate: (port) => (port >= 1 && port <= 65_535 ? undefined : "must be from 1 to 65535"),
  }),
  masquerade: flag.bool({
    default: true,
    help: "send pods' packets to the world with the node's address, where it has one of the family",
  }),
  devices: flag.list({
    default: [],
    help: "devices towards the outside that get the netdev programs; auto: those with a default route",
  }),
  "check-interval": flag.duration({
    default: "5s",
    help: "how often sysctls, attached programs and pods' devices are compared with what they should be",
    validate: (interval) => (interval >= 1_000 ? undefined : "must be 1s or more"),
  }),
  mtu: flag.int({ default: 0, help: "MTU of pod interfaces; 0: the smallest of the devices', or 1500" }),
};

/** What VXLAN over IPv4 adds to a packet: outer IP, UDP and VXLAN headers and the inner Ethernet header (RFC 7348). */
export const tunnelOverhead = 20 + 8 + 8 + 14;

const smallestMtu = { 4: 576, 6: 1280 } as const;
const largestMtu = 65_535;

/**
 * The MTU of pods' devices.
 * @throws SettingConflictError when packets to other nodes would be too small for the pods' families
 */
export function podMtu(
  { mtu, podCidrV6, routingMode }: { mtu: number; podCidrV6: string; routingMode: RoutingMode },
  devices: readonly NodeDevice[],
): number {
  const chosen = mtu || Math.min(1500, ...devices.map((device) => device.mtu));
  const least = smallestMtu[podCidrV6 === "" ? 4 : 6] + (routingMode === "tunnel" ? tunnelOverhead : 0);
  if (chosen < least || chosen > largestMtu)
    throw new SettingConflictError("mtu", `${chosen} is not from ${least} to ${largestMtu}`);
  return chosen;
}

/** Where other nodes reach this one: as set, or the first addresses of the first device that has one. */
export function nodeIps(
  { nodeIp, nodeIpv6 }: { readonly nodeIp: string; readonly nodeIpv6: string },
  devices: readonly NodeDevice[],
): { readonly nodeIpv4: string | undefined; readonly nodeIpv6: string | undefined } {
  return {
    nodeIpv4: nodeIp || devices.flatMap(({ ipv4 }) => ipv4)[0],
    nodeIpv6: nodeIpv6 || devices.flatMap(({ ipv6 }) => ipv6)[0],
  };
}

/** Pod networks and gateways, checked. */
export interface PodNetwork {
  readonly podCidr: string;
  readonly podCidrV6: string | undefined;
  readonly routerIpv4: string;
  readonly routerIpv6: string | undefined;
}

/** Networks as the flags name them. */
export interface PodNetworkFlags {
  readonly podCidr: string;
  readonly podCidrV6: string;
  readonly routerIp: string;
}

/**
 * Picks the gateways of networks that have passed their flags' checks.
 * @throws SettingConflictError when the gateway is not in the network
 */
export function podNetwork({ podCidr, podCidrV6, routerIp }: PodNetworkFlags): PodNetwork {
  const cidr = parseCidr(podCidr);
  const routerIpv4 = routerIp === "" ? formatIpv4(parseIpv4(cidr.address) + 1) : routerIp;
  if (!cidrContains(podCidr, routerIpv4))
    throw new SettingConflictError("router-ip", `${routerIpv4} is not in ${podCidr}`);
  return { podCidr: textOf(cidr), routerIpv4, ...podNetworkV6(podCidrV6) };
}

function podNetworkV6(podCidrV6: string): Pick<PodNetwork, "podCidrV6" | "routerIpv6"> {
  if (podCidrV6 === "") return { podCidrV6: undefined, routerIpv6: undefined };
  const cidr = parseCidr(podCidrV6);
  const router = ipv6Bytes(cidr.address);
  router[15]! += 1;
  return { podCidrV6: textOf(cidr), routerIpv6: ipv6FromBytes(router) };
}

/**
 * The networks of services, as the flag names them.
 * @throws SettingConflictError when one overlaps another or the pods' network
 */
export function serviceNetworks(
  { serviceCidr }: { readonly serviceCidr: readonly string[] },
  { podCidr, podCidrV6 }: PodNetwork,
): readonly string[] {
  const cidrs = serviceCidr.map((text) => textOf(parseCidr(text)));
  const taken = [podCidr, ...(podCidrV6 === undefined ? [] : [podCidrV6])];
  for (const cidr of cidrs) {
    const other = taken.find((one) => cidrsOverlap(one, cidr));
    if (other !== undefined) throw new SettingConflictError("service-cidr", `${cidr} overlaps ${other}`);
    taken.push(cidr);
  }
  return cidrs;
}

type ParsedCidr = ReturnType<typeof parseCidr>;

const textOf = ({ address, prefixLength }: ParsedCidr): string => `${address}/${prefixLength}`;

function cidrProblem(text: string, network: NetworkRule): string | undefined {
  const { family, prefixLengths, example } = network;
  const [shortest, longest] = prefixLengths;
  const [address = "", prefixLength = "", ...rest] = text.split("/");
  const isAddress = family === 4 ? isIPv4(address) : isIPv6(address);
  if (!isAddress || !/^\d{1,3}$/.test(prefixLength) || rest.length > 0)
    return `${JSON.stringify(text)} is no IPv${family} network such as ${example}`;
  if (Number(prefixLength) < shortest || Number(prefixLength) > longest)
    return `${text} must have a prefix length from ${shortest} to ${longest}`;
  return undefined;
}
