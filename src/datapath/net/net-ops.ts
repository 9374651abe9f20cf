import { DatapathError } from "../errors.ts";
import type { Closeable, LinkInfo, Neighbour, NetNamespace, NetOps, Route, VethSpec } from "../types.ts";
import { addAddress, deleteAddress, type InterfaceAddress, listAddresses } from "./addresses.ts";
import { changeLink, createVeth, deleteLink, findLink, type LinkChange, listLinks } from "./links.ts";
import { deleteNeighbour, listNeighbours, replaceNeighbour } from "./neighbours.ts";
import { deleteRoute, listRoutes, replaceRoute } from "./routes.ts";
import { RtnlSocket } from "./socket.ts";
import { readSysctl, writeSysctl } from "./sysctl.ts";

/** How operations reach a namespace other than the thread's own. */
export interface Place {
  /** Runs synchronous work with the thread in the namespace. */
  enter<T>(work: () => T extends PromiseLike<unknown> ? never : T): T;
  /** Descriptor of another open namespace. @throws DatapathError when it is not of this implementation */
  descriptorOf(namespace: NetNamespace): number;
}

/** rtnetlink and sysctls of one namespace. */
export class KernelNetOps implements NetOps, Closeable {
  readonly #place: Place;
  readonly #socket: RtnlSocket;

  constructor(place: Place) {
    this.#place = place;
    this.#socket = place.enter<RtnlSocket>(() => new RtnlSocket());
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
    throw new DatapathError({
      operation: "create veth pair",
      object: `${spec.name}/${spec.peerName}`,
      detail: `${host === undefined ? spec.name : spec.peerName} vanished right after`,
      status: "UNAVAILABLE",
    });
  }

  deleteLink(ifindex: number): Promise<boolean> {
    return deleteLink(this.#socket, ifindex);
  }

  setLink(ifindex: number, change: LinkChange): Promise<void> {
    return changeLink(this.#socket, ifindex, change);
  }

  addresses(ifindex?: number): Promise<readonly InterfaceAddress[]> {
    return listAddresses(this.#socket, ifindex);
  }

  addAddress(ifindex: number, cidr: string): Promise<void> {
    return addAddress(this.#socket, ifindex, cidr);
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

  async setSysctl(key: string, value: string): Promise<void> {
    this.#place.enter<void>(() => writeSysctl(key, value));
  }

  async getSysctl(key: string): Promise<string> {
    return this.#place.enter<string>(() => readSysctl(key));
  }

  close(): void {
    this.#socket.close();
  }
}
