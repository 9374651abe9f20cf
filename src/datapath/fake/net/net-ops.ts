import { map, merge, type Observable, of, Subject } from "rxjs";
import {
  familyOf,
  formatCidr,
  ipBytes,
  ipFromBytes,
  macBytes,
  macFromBytes,
  splitCidr,
} from "../../address.ts";
import { DatapathError } from "../../errors.ts";
import { checkLinkName } from "../../net/link-name.ts";
import { sysctlPath } from "../../net/sysctl.ts";
import { checkVxlanSpec } from "../../net/vxlan-spec.ts";
import type {
  BaseChain,
  BaseChainChange,
  Closeable,
  InterfaceAddress,
  LinkChange,
  LinkInfo,
  Neighbour,
  NetChange,
  NetNamespace,
  NetOps,
  Route,
  UdpSocket,
  VethSpec,
  VxlanSpec,
} from "../../types.ts";
import { failure } from "../errno.ts";
import type { Faults } from "../faults.ts";
import { describeAddress, type LinkState, type NamespaceState } from "./namespace-state.ts";

/** What a namespace's operations need of the network around it. */
export interface Surroundings {
  readonly faults: Faults;
  /** A MAC address nobody has. */
  freshMac(): string;
  /** State behind an open namespace. @throws DatapathError for one of another datapath */
  stateOf(namespace: NetNamespace): NamespaceState;
  linkDeleted(namespace: NamespaceState, ifindex: number): void;
}

/** `NetOps` on a fake namespace, with the kernel's answers. */
export class FakeNetOps implements NetOps, Closeable {
  readonly #state: NamespaceState;
  readonly #around: Surroundings;
  /** Ends watches. */
  readonly #closed = new Subject<never>();

  constructor(state: NamespaceState, around: Surroundings) {
    this.#state = state;
    this.#around = around;
  }

  async links(): Promise<readonly LinkInfo[]> {
    this.#around.faults.check("links", "links");
    return [...this.#state.links.values()].map((link) => this.#state.describe(link));
  }

  async linkByName(name: string): Promise<LinkInfo | undefined> {
    this.#around.faults.check("linkByName", name);
    const link = this.#state.linkNamed(name);
    return link === undefined ? undefined : this.#state.describe(link);
  }

  async linkByIndex(ifindex: number): Promise<LinkInfo | undefined> {
    this.#around.faults.check("linkByIndex", `ifindex ${ifindex}`);
    const link = this.#state.links.get(ifindex);
    return link === undefined ? undefined : this.#state.describe(link);
  }

  async createVeth(spec: VethSpec): Promise<{ readonly host: LinkInfo; readonly peer: LinkInfo }> {
    const object = `${spec.name}/${spec.peerName}`;
    this.#around.faults.check("createVeth", object);
    for (const name of [spec.name, spec.peerName]) checkLinkName("create veth pair", name);
    checkMtu("create veth pair", object, spec.mtu);
    const there = spec.peerNamespace === undefined ? this.#state : this.#around.stateOf(spec.peerNamespace);
    const same = there === this.#state && spec.name === spec.peerName;
    if (same || this.#state.linkNamed(spec.name) || there.linkNamed(spec.peerName)) {
      throw failure("create veth pair", object, "EEXIST");
    }
    const end = (state: NamespaceState, name: string, mac?: string, ifindex?: number): LinkState => {
      const address = mac === undefined ? this.#around.freshMac() : macFromBytes(macBytes(mac));
      return state.addLink({ name, mac: address, mtu: spec.mtu, kind: "veth", ifindex });
    };
    const host = end(this.#state, spec.name, spec.mac, this.#free(spec.ifindex, object));
    const peer = end(there, spec.peerName, spec.peerMac);
    host.peer = { namespace: there, ifindex: peer.ifindex };
    peer.peer = { namespace: this.#state, ifindex: host.ifindex };
    return { host: this.#state.describe(host), peer: there.describe(peer) };
  }

  async createVxlan(spec: VxlanSpec): Promise<LinkInfo> {
    this.#around.faults.check("createVxlan", spec.name);
    checkVxlanSpec(spec);
    const { name, port, mtu, mac } = spec;
    checkMtu("create VXLAN device", name, mtu);
    const taken = [...this.#state.links.values()].some((link) => link.vxlan?.port === port);
    if (taken || this.#state.linkNamed(name)) throw failure("create VXLAN device", name, "EEXIST");
    const link = this.#state.addLink({
      name,
      mtu,
      ifindex: this.#free(spec.ifindex, name),
      mac: mac === undefined ? this.#around.freshMac() : macFromBytes(macBytes(mac)),
      kind: "vxlan",
      vxlan: { port, metadata: true, learning: false },
    });
    return this.#state.describe(link);
  }

  /** A wanted index that nobody has. */
  #free(ifindex: number | undefined, object: string): number | undefined {
    if (ifindex === undefined || !this.#state.links.has(ifindex)) return ifindex;
    throw failure("create link", object, "EEXIST");
  }

  async deleteLink(ifindex: number): Promise<boolean> {
    this.#around.faults.check("deleteLink", `ifindex ${ifindex}`);
    const link = this.#state.links.get(ifindex);
    if (link === undefined) return false;
    if (link.kind === undefined) throw failure("delete link", `ifindex ${ifindex}`, "EOPNOTSUPP");
    this.#around.linkDeleted(this.#state, ifindex);
    if (link.peer !== undefined) this.#around.linkDeleted(link.peer.namespace, link.peer.ifindex);
    return true;
  }

  async setLink(ifindex: number, change: LinkChange): Promise<void> {
    const object = `ifindex ${ifindex}`;
    this.#around.faults.check("setLink", object);
    const link = this.#link("change link", ifindex);
    if (change.name !== undefined && change.name !== link.name) {
      checkLinkName("rename link", change.name);
      if (this.#state.linkNamed(change.name)) throw failure("change link", object, "EEXIST");
    }
    if (change.mtu !== undefined) checkMtu("change link", object, change.mtu);
    link.mac = change.mac === undefined ? link.mac : macFromBytes(macBytes(change.mac));
    link.mtu = change.mtu ?? link.mtu;
    link.name = change.name ?? link.name;
    link.arp = change.arp ?? link.arp;
    if (change.up === false) this.#state.linkDown(link);
    else link.up = change.up ?? link.up;
    this.#state.linkChanged(link);
  }

  async addresses(ifindex?: number): Promise<readonly InterfaceAddress[]> {
    this.#around.faults.check("addresses", "addresses");
    return [...this.#state.links.keys()]
      .filter((index) => ifindex === undefined || index === ifindex)
      .flatMap((index) => this.#state.addressesOf(index).map((cidr) => describeAddress(index, cidr)));
  }

  /** Duplicate addresses are not looked for: every address is usable at once. */
  async addAddress(ifindex: number, cidr: string): Promise<void> {
    this.#around.faults.check("addAddress", `${cidr} to ifindex ${ifindex}`);
    const text = canonical(cidr);
    this.#link("add address", ifindex);
    this.#state.addAddress(ifindex, text);
  }

  async deleteAddress(ifindex: number, cidr: string): Promise<boolean> {
    this.#around.faults.check("deleteAddress", `${cidr} from ifindex ${ifindex}`);
    return this.#state.removeAddress(ifindex, canonical(cidr));
  }

  async routes(): Promise<readonly Route[]> {
    this.#around.faults.check("routes", "routes");
    return this.#state.routes();
  }

  async replaceRoute(route: Route): Promise<void> {
    const object = `${route.destination} dev ifindex ${route.ifindex}`;
    this.#around.faults.check("replaceRoute", object);
    if (route.type === undefined && !this.#link("replace route", route.ifindex).up) {
      throw failure("replace route", object, "ENETDOWN");
    }
    if (route.source !== undefined && !this.#state.hasAddress(route.source)) {
      throw failure("replace route", object, "EINVAL", "Invalid prefsrc address");
    }
    this.#state.setRoute(route);
  }

  async deleteRoute(route: Route): Promise<boolean> {
    this.#around.faults.check("deleteRoute", route.destination);
    return this.#state.removeRoute(route);
  }

  async neighbours(ifindex?: number): Promise<readonly Neighbour[]> {
    this.#around.faults.check("neighbours", "neighbours");
    return [...this.#state.neighbours.values()].filter((n) => ifindex === undefined || n.ifindex === ifindex);
  }

  async replaceNeighbour(neighbour: Neighbour): Promise<void> {
    const object = `${neighbour.address} dev ifindex ${neighbour.ifindex}`;
    this.#around.faults.check("replaceNeighbour", object);
    familyOf(neighbour.address);
    const mac = macFromBytes(macBytes(neighbour.mac));
    this.#link("replace neighbour", neighbour.ifindex);
    const there = this.#state.neighbours.get(object);
    this.#state.neighbours.set(object, {
      ...there,
      ...neighbour,
      mac,
      permanent: neighbour.permanent ?? true,
    });
  }

  async deleteNeighbour(neighbour: Neighbour): Promise<boolean> {
    const object = `${neighbour.address} dev ifindex ${neighbour.ifindex}`;
    this.#around.faults.check("deleteNeighbour", object);
    return this.#state.neighbours.delete(object);
  }

  watch(): Observable<NetChange> {
    // The changes first: one that a subscriber makes on hearing "resync" is told, too.
    return merge(this.#state.changes, of({ kind: "resync" } as const), this.#closed);
  }

  async ipsecPolicies(): Promise<number> {
    this.#around.faults.check("ipsecPolicies", this.#state.path);
    return this.#state.ipsecPolicies.value;
  }

  ipsecChanges(): Observable<void> {
    return merge(this.#state.ipsecPolicies.pipe(map(() => undefined)), this.#closed);
  }

  async baseChains(): Promise<readonly BaseChain[]> {
    this.#around.faults.check("baseChains", this.#state.path);
    return this.#state.baseChains.value;
  }

  baseChainChanges(): Observable<BaseChainChange> {
    return merge(this.#state.baseChains.pipe(map(() => ({ kind: "resync" }) as const)), this.#closed);
  }

  async legacyTables(): Promise<readonly string[]> {
    this.#around.faults.check("legacyTables", this.#state.path);
    return this.#state.legacyTables;
  }

  async setSysctl(key: string, value: string): Promise<void> {
    this.#around.faults.check("setSysctl", key);
    this.#state.sysctls.set(this.#sysctl("write sysctl", key), value.trim());
  }

  async getSysctl(key: string): Promise<string> {
    this.#around.faults.check("getSysctl", key);
    const name = this.#sysctl("read sysctl", key);
    return this.#state.sysctls.get(name) ?? "0";
  }

  async netnsCookie(): Promise<bigint> {
    this.#around.faults.check("netnsCookie", this.#state.path);
    // As unique as the inode that follows the device in the identity.
    return BigInt(this.#state.identity.split(":")[1]!);
  }

  /** Nothing sends packets here: there are no sockets. */
  async connectedUdpSockets(): Promise<readonly UdpSocket[]> {
    this.#around.faults.check("connectedUdpSockets", this.#state.path);
    return [];
  }

  async abortUdpSocket(): Promise<boolean> {
    return false;
  }

  /** Ends watches with an error, as the end of the agent or of its hold on the namespace does. */
  close(): void {
    this.#closed.error(
      new DatapathError({
        operation: "watch",
        object: "network changes",
        detail: "the namespace is closed",
        status: "FAILED_PRECONDITION",
      }),
    );
  }

  /** Settings of interfaces exist while the interface does; others once somebody has set them. */
  #sysctl(operation: string, key: string): string {
    const name = sysctlPath(key).slice("/proc/sys/net/".length);
    const [, kind, device] = name.split("/");
    const perDevice = kind === "conf" || kind === "neigh";
    const exists = perDevice
      ? device === "all" || device === "default" || this.#state.linkNamed(device ?? "") !== undefined
      : operation.startsWith("write") || this.#state.sysctls.has(name);
    if (!exists) throw failure(operation, key, "ENOENT");
    return name;
  }

  #link(operation: string, ifindex: number): LinkState {
    const link = this.#state.links.get(ifindex);
    if (link !== undefined) return link;
    throw failure(operation, `ifindex ${ifindex}`, "ENODEV");
  }
}

function canonical(cidr: string): string {
  const { address, prefixLength } = splitCidr(cidr);
  return formatCidr({ address: ipFromBytes(ipBytes(address)), prefixLength });
}

/** ETH_MIN_MTU and ETH_MAX_MTU. */
function checkMtu(operation: string, object: string, mtu: number): void {
  if (Number.isInteger(mtu) && mtu >= 68 && mtu <= 65535) return;
  throw new DatapathError({ operation, object, errno: 22, detail: `mtu ${mtu} is not from 68 to 65535` });
}
