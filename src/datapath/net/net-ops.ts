import { type Observable, Subject, takeUntil } from "rxjs";
import { DatapathError } from "../errors.ts";
import type {
  AddressOptions,
  BaseChain,
  BaseChainChange,
  Closeable,
  InterfaceAddress,
  LinkChange,
  LinkInfo,
  Neighbour,
  NetChange,
  NetOps,
  Route,
  UdpSocket,
  VethSpec,
  VxlanSpec,
} from "../types.ts";
import { addAddress, deleteAddress, listAddresses } from "./addresses.ts";
import { readNetnsCookie } from "./cookie.ts";
import { LinkDeletions } from "./deletions.ts";
import { abortUdp, listConnectedUdp } from "./inet-diag.ts";
import { countPolicies, watchPolicies } from "./ipsec.ts";
import { changeLink, createVeth, createVxlan, findLink, listLinks } from "./links.ts";
import { deleteNeighbour, listNeighbours, replaceNeighbour } from "./neighbours.ts";
import { listBaseChains, listLegacyTables, watchBaseChains } from "./netfilter.ts";
import { openOptional } from "./optional.ts";
import type { Place } from "./place.ts";
import { deleteRoute, listRoutes, replaceRoute } from "./routes.ts";
import { RtnlSocket } from "./socket.ts";
import { readSysctl, writeSysctl } from "./sysctl.ts";
import { Watchers } from "./watch.ts";

/** rtnetlink and sysctls of one namespace. */
export class KernelNetOps implements NetOps, Closeable {
  readonly #place: Place;
  readonly #socket: RtnlSocket;
  readonly #watchers: Watchers;
  readonly #deletions: LinkDeletions;
  /** Ends what is told of IPsec and packet filters. */
  readonly #closing = new Subject<void>();
  #diagSocket: RtnlSocket | undefined;
  /** "none": this kernel has no IPsec. */
  #xfrm: RtnlSocket | "none" | undefined;
  /** "none": this kernel has no nftables. */
  #netfilter: RtnlSocket | "none" | undefined;

  constructor(place: Place) {
    this.#place = place;
    this.#socket = place.enter<RtnlSocket>(() => new RtnlSocket());
    this.#watchers = new Watchers(place);
    this.#deletions = new LinkDeletions(place);
  }

  links(): Promise<readonly LinkInfo[]> {
    return listLinks(this.#socket);
  }

  linkByName(name: string): Promise<LinkInfo | undefined> {
    return findLink(this.#socket, name);
  }

  linkByIndex(ifindex: number): Promise<LinkInfo | undefined> {
    return findLink(this.#socket, ifindex);
  }

  async createVeth(spec: VethSpec): Promise<{ readonly host: LinkInfo; readonly peer: LinkInfo }> {
    const namespace = spec.peerNamespace;
    const fd = namespace === undefined ? undefined : this.#place.descriptorOf(namespace);
    await createVeth(this.#socket, spec, fd);
    const [host, peer] = await Promise.all([
      this.linkByName(spec.name),
      (namespace?.net ?? this).linkByName(spec.peerName),
    ]);
    if (host !== undefined && peer !== undefined) return { host, peer };
    throw vanished("create veth pair", host === undefined ? spec.name : spec.peerName);
  }

  async createVxlan(spec: VxlanSpec): Promise<LinkInfo> {
    await createVxlan(this.#socket, spec);
    const link = await this.linkByName(spec.name);
    if (link !== undefined) return link;
    throw vanished("create VXLAN device", spec.name);
  }

  deleteLink(ifindex: number): Promise<boolean> {
    return this.#deletions.delete(ifindex);
  }

  setLink(ifindex: number, change: LinkChange): Promise<void> {
    return changeLink(this.#socket, ifindex, change);
  }

  addresses(ifindex?: number): Promise<readonly InterfaceAddress[]> {
    return listAddresses(this.#socket, ifindex);
  }

  addAddress(ifindex: number, cidr: string, options?: AddressOptions): Promise<void> {
    return addAddress(this.#socket, ifindex, cidr, options);
  }

  deleteAddress(ifindex: number, cidr: string): Promise<boolean> {
    return deleteAddress(this.#socket, ifindex, cidr);
  }

  routes(): Promise<readonly Route[]> {
    return listRoutes(this.#socket);
  }

  replaceRoute(route: Route): Promise<void> {
    return replaceRoute(this.#socket, route);
  }

  deleteRoute(route: Route): Promise<boolean> {
    return deleteRoute(this.#socket, route);
  }

  neighbours(ifindex?: number): Promise<readonly Neighbour[]> {
    return listNeighbours(this.#socket, ifindex);
  }

  replaceNeighbour(neighbour: Neighbour): Promise<void> {
    return replaceNeighbour(this.#socket, neighbour);
  }

  deleteNeighbour(neighbour: Neighbour): Promise<boolean> {
    return deleteNeighbour(this.#socket, neighbour);
  }

  watch(): Observable<NetChange> {
    return this.#watchers.watch();
  }

  async ipsecPolicies(): Promise<number> {
    this.#xfrm ??= openOptional(this.#place, "xfrm") ?? "none";
    return this.#xfrm === "none" ? 0 : countPolicies(this.#xfrm);
  }

  ipsecChanges(): Observable<void> {
    return watchPolicies(this.#place).pipe(takeUntil(this.#closing));
  }

  async baseChains(): Promise<readonly BaseChain[]> {
    this.#netfilter ??= openOptional(this.#place, "netfilter") ?? "none";
    return this.#netfilter === "none" ? [] : listBaseChains(this.#netfilter);
  }

  baseChainChanges(): Observable<BaseChainChange> {
    return watchBaseChains(this.#place).pipe(takeUntil(this.#closing));
  }

  async legacyTables(): Promise<readonly string[]> {
    return listLegacyTables(this.#place);
  }

  async setSysctl(key: string, value: string): Promise<void> {
    this.#place.enter<void>(() => writeSysctl(key, value));
  }

  async getSysctl(key: string): Promise<string> {
    return this.#place.enter<string>(() => readSysctl(key));
  }

  async netnsCookie(): Promise<bigint> {
    return this.#place.enter<bigint>(readNetnsCookie);
  }

  connectedUdpSockets(): Promise<readonly UdpSocket[]> {
    return listConnectedUdp(this.#diag());
  }

  abortUdpSocket(socket: UdpSocket): Promise<boolean> {
    return abortUdp(this.#diag(), socket);
  }

  close(): void {
    this.#closing.next();
    this.#watchers.close();
    this.#deletions.close();
    this.#socket.close();
    this.#diagSocket?.close();
    for (const socket of [this.#xfrm, this.#netfilter]) if (socket !== "none") socket?.close();
  }

  /** Opened when it is needed: few namespaces are asked for their sockets. */
  #diag(): RtnlSocket {
    this.#diagSocket ??= this.#place.enter<RtnlSocket>(() => new RtnlSocket("sock_diag"));
    return this.#diagSocket;
  }
}

function vanished(operation: string, name: string): DatapathError {
  return new DatapathError({
    operation,
    object: name,
    detail: "it vanished right after",
    status: "UNAVAILABLE",
  });
}
