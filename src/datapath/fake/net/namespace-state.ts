import { BehaviorSubject, type Observable, Subject } from "rxjs";
import { formatCidr, parseCidr, splitCidr } from "../../address.ts";
import { routeDefaults } from "../../net/route-defaults.ts";
import type {
  BaseChain,
  InterfaceAddress,
  LinkInfo,
  Neighbour,
  NetChange,
  NetScope,
  Route,
  VxlanInfo,
} from "../../types.ts";

/** An interface of a fake namespace. */
export interface LinkState {
  readonly ifindex: number;
  name: string;
  mac: string;
  mtu: number;
  up: boolean;
  arp: boolean;
  readonly kind: string | undefined;
  readonly vxlan: VxlanInfo | undefined;
  peer: { readonly namespace: NamespaceState; readonly ifindex: number } | undefined;
}

/** All of a route but what is optional to give. */
export type InstalledRoute = Route & Required<Pick<Route, "scope" | "protocol" | "table">>;

const TABLE_MAIN = 254;
const RTPROT_KERNEL = 2;
/** IP6_RT_PRIO_ADDRCONF of include/uapi/linux/ipv6_route.h. */
const IPV6_CONNECTED_METRIC = 256;

/** Interfaces and what belongs to them. Changes are made by FakeNetOps, which checks first. */
export class NamespaceState {
  readonly path: string;
  readonly identity: string;
  readonly links = new Map<number, LinkState>();
  readonly neighbours = new Map<string, Neighbour>();
  readonly sysctls = new Map<string, string>([["ipv4/ip_forward", "0"]]);
  readonly ipsecPolicies = new BehaviorSubject(0);
  readonly baseChains = new BehaviorSubject<readonly BaseChain[]>([]);
  legacyTables: readonly string[] = [];
  readonly #addresses = new Map<number, readonly string[]>();
  readonly #routes = new Map<string, InstalledRoute>();
  readonly #netnsIds = new Map<NamespaceState, number>();
  readonly #changes = new Subject<NetChange>();
  #lastIfindex = 0;

  constructor(path: string, identity: string) {
    this.path = path;
    this.identity = identity;
    this.addLink({ name: "lo", mac: "00:00:00:00:00:00", mtu: 65536, kind: undefined });
  }

  /** Every change from now on, told a moment after it was made, as the kernel does. */
  get changes(): Observable<NetChange> {
    return this.#changes;
  }

  hasLink(ifindex: number): boolean {
    return this.links.has(ifindex);
  }

  linkNamed(name: string): LinkState | undefined {
    return [...this.links.values()].find((link) => link.name === name);
  }

  addLink(
    init: Pick<LinkState, "name" | "mac" | "mtu" | "kind"> & {
      readonly vxlan?: VxlanInfo;
      readonly ifindex?: number | undefined;
    },
  ): LinkState {
    const ifindex = init.ifindex ?? this.#lastIfindex + 1;
    this.#lastIfindex = Math.max(this.#lastIfindex, ifindex);
    const link: LinkState = {
      vxlan: undefined,
      ...init,
      ifindex,
      up: false,
      arp: true,
      peer: undefined,
    };
    this.links.set(link.ifindex, link);
    this.linkChanged(link);
    return link;
  }

  /** Reports a link as it is now. */
  linkChanged(link: LinkState): void {
    this.#tell(() => ({ kind: "link", gone: false, link: this.describe(link) }));
  }

  /** The kernel drops an interface's routes, neighbours and IPv6 addresses when it goes down. */
  linkDown(link: LinkState): void {
    link.up = false;
    // No word of the routes: that of the link says enough.
    for (const [key, route] of this.#routes) if (route.ifindex === link.ifindex) this.#routes.delete(key);
    for (const cidr of this.addressesOf(link.ifindex)) {
      if (cidr.includes(":")) this.removeAddress(link.ifindex, cidr);
    }
    for (const [key, { ifindex }] of this.neighbours)
      if (ifindex === link.ifindex) this.neighbours.delete(key);
  }

  /** Takes addresses, routes and neighbours with it. */
  removeLink(ifindex: number): void {
    const link = this.links.get(ifindex);
    if (link === undefined) return;
    this.linkDown(link);
    for (const cidr of this.addressesOf(ifindex)) this.removeAddress(ifindex, cidr);
    this.links.delete(ifindex);
    const last = this.describe(link);
    this.#tell(() => ({ kind: "link", gone: true, link: last }));
  }

  /** The link as `NetOps` shows it. */
  describe(link: LinkState): LinkInfo {
    const { peer, vxlan, ...own } = link;
    const elsewhere = peer !== undefined && peer.namespace !== this;
    return {
      ...own,
      peerIfindex: peer?.ifindex,
      peerNetnsId: elsewhere ? this.#netnsId(peer.namespace) : undefined,
      ...(vxlan === undefined ? {} : { vxlan }),
    };
  }

  addressesOf(ifindex: number): readonly string[] {
    return this.#addresses.get(ifindex) ?? [];
  }

  hasAddress(address: string): boolean {
    return [...this.#addresses.values()].flat().some((cidr) => splitCidr(cidr).address === address);
  }

  addAddress(ifindex: number, cidr: string): void {
    const cidrs = this.addressesOf(ifindex);
    if (cidrs.includes(cidr)) return;
    this.#addresses.set(ifindex, [...cidrs, cidr]);
    this.#tell(() => ({ kind: "address", gone: false, address: describeAddress(ifindex, cidr) }));
  }

  removeAddress(ifindex: number, cidr: string): boolean {
    const cidrs = this.addressesOf(ifindex);
    if (!cidrs.includes(cidr)) return false;
    this.#addresses.set(
      ifindex,
      cidrs.filter((other) => other !== cidr),
    );
    this.#tell(() => ({ kind: "address", gone: true, address: describeAddress(ifindex, cidr) }));
    return true;
  }

  /** Routes that were put in, and those that addresses bring along on interfaces that are up. */
  routes(): readonly InstalledRoute[] {
    const connected = [...this.#addresses].flatMap(([ifindex, cidrs]) =>
      this.links.get(ifindex)?.up === true ? cidrs.flatMap((cidr) => connectedRoute(ifindex, cidr)) : [],
    );
    return [...connected, ...this.#routes.values()];
  }

  setRoute(route: Route): void {
    const { metric, ...defaults } = routeDefaults(route);
    const { metric: _, ...asGiven } = route;
    const installed: InstalledRoute = {
      ...asGiven,
      ...(route.type === undefined ? {} : { ifindex: 0 }),
      ...defaults,
      ...(metric === undefined ? {} : { metric }),
      destination: formatCidr(parseCidr(route.destination)),
    };
    this.#routes.set(`${installed.table} ${installed.destination} ${metric}`, installed);
    this.#tell(() => ({ kind: "route", gone: false, route: installed }));
  }

  /** The first of several that differ in what the caller did not name. */
  removeRoute(route: Route): boolean {
    const wanted = {
      ...route,
      destination: formatCidr(parseCidr(route.destination)),
      table: route.table ?? TABLE_MAIN,
      ...(route.type === undefined ? {} : { ifindex: 0 }),
      // IPv6 routes have no scope to compare.
      ...(route.destination.includes(":") ? { scope: undefined } : {}),
    };
    const fields = [
      "destination",
      "table",
      "ifindex",
      "gateway",
      "scope",
      "protocol",
      "metric",
      "type",
    ] as const;
    for (const [key, found] of this.#routes) {
      if (fields.some((field) => wanted[field] !== undefined && wanted[field] !== found[field])) continue;
      this.#routes.delete(key);
      this.#tell(() => ({ kind: "route", gone: true, route: found }));
      return true;
    }
    return false;
  }

  /** Number by which this namespace knows another one. */
  #netnsId(other: NamespaceState): number {
    const known = this.#netnsIds.get(other);
    if (known !== undefined) return known;
    this.#netnsIds.set(other, this.#netnsIds.size);
    return this.#netnsIds.size - 1;
  }

  /** @param describe called when the change is told: a link is reported as it is then */
  #tell(describe: () => NetChange): void {
    if (!this.#changes.observed) return;
    queueMicrotask(() => this.#changes.next(describe()));
  }
}

/** An address as `NetOps` shows it. */
export function describeAddress(ifindex: number, cidr: string): InterfaceAddress {
  return { ifindex, cidr, scope: scopeOf(cidr) };
}

function scopeOf(cidr: string): NetScope {
  if (/^(127\.|::1\/)/.test(cidr)) return "host";
  return /^fe[89ab]/.test(cidr) ? "link" : "global";
}

/** IPv4 has none for a lone address, IPv6 one for every address. */
function connectedRoute(ifindex: number, cidr: string): readonly InstalledRoute[] {
  const { address, prefixLength } = splitCidr(cidr);
  const place = { ifindex, protocol: RTPROT_KERNEL, table: TABLE_MAIN };
  const destination = formatCidr(parseCidr(cidr));
  if (cidr.includes(":")) {
    return [{ ...place, destination, scope: "global", metric: IPV6_CONNECTED_METRIC }];
  }
  if (prefixLength === 32 || address.startsWith("127.")) return [];
  return [{ ...place, destination, source: address, scope: "link" }];
}
