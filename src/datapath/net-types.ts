/** Interfaces of the network side of the datapath: links, addresses, routes and neighbours over rtnetlink. */
import type { Observable } from "rxjs";
import type { Closeable } from "./types.ts";

/** A MAC address as six bytes in text: "0a:00:27:00:00:01". */
export type Mac = string;

export interface LinkInfo {
  readonly ifindex: number;
  readonly name: string;
  readonly mac: Mac;
  readonly mtu: number;
  readonly up: boolean;
  /** False with IFF_NOARP: the device resolves no neighbours. */
  readonly arp: boolean;
  readonly kind: string | undefined;
  /** Index of the veth peer or lower device; in another namespace when `peerNetnsId` is set. */
  readonly peerIfindex: number | undefined;
  readonly peerNetnsId: number | undefined;
  /** Of links whose kind is "vxlan". */
  readonly vxlan?: VxlanInfo;
}

/** What distinguishes one VXLAN device from another (include/uapi/linux/if_link.h IFLA_VXLAN_*). */
export interface VxlanInfo {
  /** UDP port it sends to and listens on. */
  readonly port: number;
  /** True when packets carry their tunnel key as metadata ("external"): one device for every peer and network. */
  readonly metadata: boolean;
  /** True when it learns MAC addresses from the packets it receives. */
  readonly learning: boolean;
}

export interface VxlanSpec {
  readonly name: string;
  /** UDP destination port; 8472 is Linux's own, 4789 IANA's. */
  readonly port: number;
  readonly mtu: number;
  readonly mac?: Mac;
  /** Wanted index, as that of a device which this one replaces; one that is taken is an error (EEXIST, EBUSY). */
  readonly ifindex?: number;
}

/** Where an address or a route's destination is. */
export type NetScope = "global" | "site" | "link" | "host";

/** An address on an interface. */
export interface InterfaceAddress {
  readonly ifindex: number;
  /** Address and prefix length as assigned: "10.0.1.5/24". */
  readonly cidr: string;
  /** Undefined for scopes that have no name. IPv6 addresses get theirs from the address: fe80::/10 is "link". */
  readonly scope?: NetScope;
  /** True while the kernel still looks for another owner (IPv6 duplicate address detection), or has found one. */
  readonly tentative?: true;
}

/** A route with one next hop, or one that refuses. */
export interface Route {
  /** CIDR, "0.0.0.0/0" or "::/0" for the default route. */
  readonly destination: string;
  readonly gateway?: string;
  /** Device; 0 for routes that refuse. */
  readonly ifindex: number;
  readonly source?: string;
  readonly mtu?: number;
  /** Scope of an IPv4 route; those of IPv6 have none in the kernel and read as "global". */
  readonly scope?: "global" | "link" | "host";
  readonly protocol?: number;
  readonly table?: number;
  /** Lower is better. Undefined: 0 for IPv4, where it reads as undefined; 1024 for IPv6. */
  readonly metric?: number;
  /** Packets are dropped in silence, or refused with an ICMP error. Undefined: an ordinary (unicast) route. */
  readonly type?: "blackhole" | "unreachable";
}

export interface Neighbour {
  readonly ifindex: number;
  readonly address: string;
  readonly mac: Mac;
  readonly permanent?: boolean;
  /** Who has made it, by the numbers of routes' protocols (NDA_PROTOCOL); undefined: nobody says. */
  readonly protocol?: number;
}

export interface VethSpec {
  readonly name: string;
  readonly peerName: string;
  /** Namespace for the peer: an open one from `openNamespace`; undefined keeps it here. */
  readonly peerNamespace?: NetNamespace;
  readonly mtu: number;
  readonly mac?: Mac;
  readonly peerMac?: Mac;
  /** Wanted index of this end, as that of a device which it replaces; one that is taken is an error (EEXIST, EBUSY). */
  readonly ifindex?: number;
}

export interface LinkChange {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: Mac;
  readonly name?: string;
  /** False sets IFF_NOARP: the device resolves no neighbours. */
  readonly arp?: boolean;
}

export interface AddressOptions {
  /** IPv6: usable at once, without duplicate address detection (IFA_F_NODAD). */
  readonly nodad?: boolean;
}

/** A change that the kernel reported. `gone`: deleted; otherwise new or changed, as it is now. */
export type NetChange =
  | { readonly kind: "link"; readonly gone: boolean; readonly link: LinkInfo }
  | { readonly kind: "address"; readonly gone: boolean; readonly address: InterfaceAddress }
  | { readonly kind: "route"; readonly gone: boolean; readonly route: Route }
  /** From here on nothing is missed; whatever was before may have been: read everything (again). */
  | { readonly kind: "resync" };

/** A base chain of nftables: one that the stack calls for packets, whatever rules it has. */
export interface BaseChain {
  /** "inet", "ip", "ip6", "netdev", "bridge", "arp"; of others the number. */
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  /** "ingress", "prerouting", "input", "forward", "output", "postrouting", "egress"; of others the number. */
  readonly hook: string;
}

/** What has become of base chains. */
export type BaseChainChange =
  /** Any of them may have come or gone. */
  | { readonly kind: "resync" }
  /** One has come, or has been given something else. */
  | { readonly kind: "came"; readonly chain: BaseChain }
  /** A chain has gone, maybe a base chain; with `chain` left out, all of its table. */
  | { readonly kind: "gone"; readonly family: string; readonly table: string; readonly chain?: string };

/** A connected socket of UDP. */
export interface UdpSocket {
  /** The number that programs know it by (`bpf_get_socket_cookie`). */
  readonly cookie: bigint;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** What the kernel finds it by. */
  readonly id: Buffer;
}

/** rtnetlink and its likes in one network namespace. Every method throws a DatapathError on failure. */
export interface NetOps {
  links(): Promise<readonly LinkInfo[]>;
  linkByName(name: string): Promise<LinkInfo | undefined>;
  linkByIndex(ifindex: number): Promise<LinkInfo | undefined>;
  /** Creates a veth pair; both ends down. */
  createVeth(spec: VethSpec): Promise<{ readonly host: LinkInfo; readonly peer: LinkInfo }>;
  /**
   * Creates a VXLAN device in metadata mode, down: BPF programs say where each packet goes and read where it came
   * from. It learns nothing. @throws DatapathError EEXIST for a name that is taken, or a port of another VXLAN device
   */
  createVxlan(spec: VxlanSpec): Promise<LinkInfo>;
  /** False when there was no such link. */
  deleteLink(ifindex: number): Promise<boolean>;
  setLink(ifindex: number, change: LinkChange): Promise<void>;
  /** Of both families. */
  addresses(ifindex?: number): Promise<readonly InterfaceAddress[]>;
  /** Adds; an address that is there already is no error. */
  addAddress(ifindex: number, cidr: string, options?: AddressOptions): Promise<void>;
  deleteAddress(ifindex: number, cidr: string): Promise<boolean>;
  /** Of both families and all tables; those for the node's own and for multicast addresses are left out. */
  routes(): Promise<readonly Route[]>;
  /** Creates, or replaces the route to the same destination with the same metric in the same table. */
  replaceRoute(route: Route): Promise<void>;
  /** Any metric, gateway, scope and protocol that are not given fit. False when there was no such route. */
  deleteRoute(route: Route): Promise<boolean>;
  neighbours(ifindex?: number): Promise<readonly Neighbour[]>;
  replaceNeighbour(neighbour: Neighbour): Promise<void>;
  deleteNeighbour(neighbour: Neighbour): Promise<boolean>;
  /**
   * Changes of links, addresses and routes as the kernel reports them, of whoever made them. Each subscription
   * begins with `resync`, once it hears: what a subscriber reads after a `resync` is complete together with the
   * changes that follow. Another `resync` comes when the kernel had to drop
   * changes. Routes that go because their link went down are not told. Ends with an error when the namespace is
   * closed.
   */
  watch(): Observable<NetChange>;
  /**
   * How many IPsec policies the namespace has for what it sends and for what it receives (`ip xfrm policy`), those of
   * single sockets left out; 0 on a kernel without them.
   */
  ipsecPolicies(): Promise<number>;
  /** Tells of every change of IPsec policies; also at the beginning, once it hears, and when some may have been missed. */
  ipsecChanges(): Observable<void>;
  /**
   * Base chains of nftables in the namespace (`nft list chains`), those of iptables-nft among them. The kernel lists all
   * chains to find them. A BPF program at a hook of netfilter is not seen.
   */
  baseChains(): Promise<readonly BaseChain[]>;
  /**
   * Tells when base chains may have come or gone; begins with `resync`, once it hears. Nothing tells of a table that goes
   * with the process that owns it.
   */
  baseChainChanges(): Observable<BaseChainChange>;
  /** Names of tables of the older iptables for IPv4. Nothing tells of their changes. */
  legacyTables(): Promise<readonly string[]>;
  /** Writes /proc/sys/net/… of this namespace; `key` as in "ipv4.ip_forward" or "ipv4/conf/lxc1/rp_filter". */
  setSysctl(key: string, value: string): Promise<void>;
  getSysctl(key: string): Promise<string>;
  /** Number that programs know this namespace by (SO_NETNS_COOKIE, `bpf_get_netns_cookie`): never reused until a reboot. */
  netnsCookie(): Promise<bigint>;
  /** Sockets of UDP of this namespace that are connected to a peer, of both families. */
  connectedUdpSockets(): Promise<readonly UdpSocket[]>;
  /**
   * Ends a socket's connection: calls of its owner fail with ECONNABORTED until it connects anew. False when it is gone
   * already. @throws DatapathError EOPNOTSUPP on kernels without CONFIG_INET_DIAG_DESTROY
   */
  abortUdpSocket(socket: UdpSocket): Promise<boolean>;
}

/** An open network namespace. */
export interface NetNamespace extends Closeable {
  /** Path it was opened from. */
  readonly path: string;
  /** Device and inode of the namespace: equal for equal namespaces. */
  readonly identity: string;
  readonly net: NetOps;
}
