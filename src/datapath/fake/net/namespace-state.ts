import { formatCidr, parseCidr, splitCidr } from "../../address.ts";
import type { Neighbour, Route } from "../../types.ts";

/** An interface of a fake namespace. */
export interface LinkState {
  readonly ifindex: number;
  name: string;
  mac: string;
  mtu: number;
  up: boolean;
  arp: boolean;
  readonly kind: string | undefined;
  peer: { readonly namespace: NamespaceState; readonly ifindex: number } | undefined;
}

/** All of a route but what is optional to give. */
export type InstalledRoute = Route & Required<Pick<Route, "scope" | "protocol" | "table">>;

const TABLE_MAIN = 254;
const RTPROT_KERNEL = 2;
const RTPROT_STATIC = 4;

/** Interfaces and what belongs to them. Changes are made by FakeNetOps, which checks first. */
export class NamespaceState {
  readonly path: string;
  readonly identity: string;
  readonly links = new Map<number, LinkState>();
  readonly addresses = new Map<number, string[]>();
  readonly neighbours = new Map<string, Neighbour>();
  readonly sysctls = new Map<string, string>([["ipv4/ip_forward", "0"]]);
  readonly #routes = new Map<string, InstalledRoute>();
  readonly #netnsIds = new Map<NamespaceState, number>();
  #lastIfindex = 0;

  constructor(path: string, identity: string) {
    this.path = path;
    this.identity = identity;
    this.addLink({ name: "lo", mac: "00:00:00:00:00:00", mtu: 65536, kind: undefined });
  }

  hasLink(ifindex: number): boolean {
    return this.links.has(ifindex);
  }

  linkNamed(name: string): LinkState | undefined {
    return [...this.links.values()].find((link) => link.name === name);
  }

  addLink(init: Pick<LinkState, "name" | "mac" | "mtu" | "kind">): LinkState {
    this.#lastIfindex++;
    const link: LinkState = { ...init, ifindex: this.#lastIfindex, up: false, arp: true, peer: undefined };
    this.links.set(link.ifindex, link);
    this.addresses.set(link.ifindex, []);
    return link;
  }

  /** Takes addresses, routes and neighbours with it. */
  removeLink(ifindex: number): void {
    this.links.delete(ifindex);
    this.addresses.delete(ifindex);
    this.flushRoutes(ifindex);
    for (const [key, neighbour] of this.neighbours) {
      if (neighbour.ifindex === ifindex) this.neighbours.delete(key);
    }
  }

  hasAddress(address: string): boolean {
    return [...this.addresses.values()].flat().some((cidr) => splitCidr(cidr).address === address);
  }

  /** Number by which this namespace knows another one. */
  netnsId(other: NamespaceState): number {
    const known = this.#netnsIds.get(other);
    if (known !== undefined) return known;
    this.#netnsIds.set(other, this.#netnsIds.size);
    return this.#netnsIds.size - 1;
  }

  /** Routes that were put in, and those that addresses bring along on interfaces that are up. */
  routes(): readonly InstalledRoute[] {
    const connected = [...this.addresses].flatMap(([ifindex, cidrs]) =>
      this.links.get(ifindex)?.up === true ? cidrs.flatMap((cidr) => connectedRoute(ifindex, cidr)) : [],
    );
    return [...connected, ...this.#routes.values()];
  }

  setRoute(route: Route): void {
    const installed: InstalledRoute = {
      ...route,
      destination: formatCidr(parseCidr(route.destination)),
      scope: route.scope ?? (route.gateway === undefined ? "link" : "global"),
      protocol: route.protocol ?? RTPROT_STATIC,
      table: route.table ?? TABLE_MAIN,
    };
    this.#routes.set(`${installed.table} ${installed.destination}`, installed);
  }

  removeRoute(route: Route): boolean {
    const key = `${route.table ?? TABLE_MAIN} ${formatCidr(parseCidr(route.destination))}`;
    const found = this.#routes.get(key);
    if (found === undefined) return false;
    const differs = (["ifindex", "gateway", "scope", "protocol"] as const).some(
      (field) => route[field] !== undefined && route[field] !== found[field],
    );
    return !differs && this.#routes.delete(key);
  }

  /** The kernel drops an interface's routes when it goes down. */
  flushRoutes(ifindex: number): void {
    for (const [key, route] of this.#routes) if (route.ifindex === ifindex) this.#routes.delete(key);
  }
}

function connectedRoute(ifindex: number, cidr: string): readonly InstalledRoute[] {
  const { address, prefixLength } = splitCidr(cidr);
  if (prefixLength === 32 || prefixLength === 128 || address.startsWith("127.")) return [];
  return [
    {
      destination: formatCidr(parseCidr(cidr)),
      ifindex,
      source: address,
      scope: "link",
      protocol: RTPROT_KERNEL,
      table: TABLE_MAIN,
    },
  ];
}
