import { cidrsOverlap, formatCidr, ipBytes, ipFromBytes, parseCidr } from "../../datapath/address.ts";
import type { NodeConfig } from "../node-config/index.ts";
import type { Node } from "./types.ts";

/** What a node says of itself; its name is the key. Members without a value are left out. */
export interface Announcement {
  readonly ipv4?: string;
  readonly ipv6?: string;
  readonly podCidr: string;
  readonly podCidrV6?: string;
  readonly routerIpv4: string;
  readonly routerIpv6?: string;
  readonly version: string;
}

type Optional = "ipv4" | "ipv6" | "podCidrV6" | "routerIpv6";

/** What this node announces. */
export function announcementOf(config: NodeConfig, version: string): Announcement {
  const { nodeIpv4, nodeIpv6, podCidr, podCidrV6, routerIpv4, routerIpv6 } = config;
  return {
    ...given({ ipv4: nodeIpv4, ipv6: nodeIpv6, podCidrV6, routerIpv6 }),
    podCidr,
    routerIpv4,
    version,
  };
}

/** Checks what another node has announced. @throws Error, or DatapathError for what is no address */
export function decodeAnnouncement(value: unknown): Announcement {
  if (typeof value !== "object" || value === null) throw new Error("it is no object");
  const members = value as Record<string, unknown>;
  const text = (name: keyof Announcement): string | undefined => {
    const member = members[name];
    if (member !== undefined && typeof member !== "string") throw new Error(`${name} is no text`);
    return member;
  };
  const needed = (name: keyof Announcement): string => {
    const member = text(name);
    if (member === undefined) throw new Error(`it has no ${name}`);
    return member;
  };
  const address = (of: string | undefined): string | undefined =>
    of === undefined ? undefined : ipFromBytes(ipBytes(of));
  const cidr = (of: string): string => formatCidr(parseCidr(of));
  const podCidrV6 = text("podCidrV6");
  return {
    ...given({
      ipv4: address(text("ipv4")),
      ipv6: address(text("ipv6")),
      podCidrV6: podCidrV6 === undefined ? undefined : cidr(podCidrV6),
      routerIpv6: address(text("routerIpv6")),
    }),
    podCidr: cidr(needed("podCidr")),
    routerIpv4: ipFromBytes(ipBytes(needed("routerIpv4"))),
    version: needed("version"),
  };
}

/** The node's row. */
export function nodeOf(name: string, announcement: Announcement, local: boolean): Node {
  const { ipv4, ipv6, podCidr, podCidrV6, routerIpv4, routerIpv6, version } = announcement;
  return { name, ipv4, ipv6, podCidr, podCidrV6, routerIpv4, routerIpv6, local, version };
}

/** What two nodes cannot both have: "pod CIDR 10.0.1.0/24 overlaps 10.0.0.0/16"; undefined when they get along. */
export function conflictOf(a: Announcement, b: Announcement): string | undefined {
  for (const [one, other] of [
    [a.podCidr, b.podCidr],
    [a.podCidrV6, b.podCidrV6],
  ]) {
    if (one !== undefined && other !== undefined && cidrsOverlap(one, other))
      return `pod CIDR ${one} overlaps ${other}`;
  }
  for (const [one, other] of [
    [a.ipv4, b.ipv4],
    [a.ipv6, b.ipv6],
  ]) {
    if (one !== undefined && one === other) return `address ${one} is the same`;
  }
  return undefined;
}

/** Without the members that have no value. */
function given(members: Record<Optional, string | undefined>): Partial<Record<Optional, string>> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}
