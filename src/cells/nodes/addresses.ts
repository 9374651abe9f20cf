import { ReservedIdentity } from "../identity/index.ts";
import { type IpCache, type IpCacheEntry, isSameEntry } from "../ipcache/index.ts";
import { hostPrefix } from "../node-config/index.ts";
import type { Node } from "./types.ts";

/**
 * Other nodes in the IP cache: their addresses are "remote-node", reached like their pods; what is not known of their pod
 * CIDRs is "unmanaged", and theirs to answer. What nobody has of the pod CIDRs of nodes that have left is behind nobody.
 */
export class NodeAddresses {
  readonly #ipcache: IpCache;
  #known: ReadonlyMap<string, IpCacheEntry> = new Map();

  constructor(ipcache: IpCache) {
    this.#ipcache = ipcache;
  }

  /** From now on these are the other nodes, and these the pod CIDRs of those that have left. */
  set(peers: readonly Node[], departed: readonly string[]): void {
    const entries = [
      ...departed.map((cidr) => entryFor(cidr, ReservedIdentity.unmanaged, "0.0.0.0")),
      ...peers.flatMap((peer) => entriesOf(peer)),
    ];
    const wanted = new Map(entries.map((entry) => [entry.prefix, entry]));
    this.#ipcache.removeMany(
      [...this.#known.keys()].filter((prefix) => !wanted.has(prefix)),
      "kvstore",
    );
    // One node of a thousand has changed, as a rule.
    const changed = [...wanted.values()].filter((entry) => {
      const known = this.#known.get(entry.prefix);
      return known === undefined || !isSameEntry(known, entry);
    });
    this.#ipcache.upsertMany(changed);
    this.#known = wanted;
  }
}

function entriesOf({ ipv4, ipv6, routerIpv4, routerIpv6, podCidr, podCidrV6 }: Node): IpCacheEntry[] {
  const addresses = [ipv4, ipv6, routerIpv4, routerIpv6].flatMap((address) => address ?? []);
  const cidrs = podCidrV6 === undefined ? [podCidr] : [podCidr, podCidrV6];
  const behind = ipv4 ?? "0.0.0.0";
  return [
    ...cidrs.map((cidr) => entryFor(cidr, ReservedIdentity.unmanaged, behind)),
    ...addresses.map((address) => entryFor(hostPrefix(address), ReservedIdentity.remoteNode, behind)),
  ];
}

function entryFor(prefix: string, identity: number, tunnelEndpoint: string): IpCacheEntry {
  return { prefix, identity, tunnelEndpoint, encryptKey: 0, source: "kvstore" };
}
