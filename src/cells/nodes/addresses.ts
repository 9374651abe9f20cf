import { ReservedIdentity } from "../identity/index.ts";
import { type IpCache, type IpCacheEntry, isSameEntry } from "../ipcache/index.ts";
import { hostPrefix } from "../node-config/index.ts";
import type { Node } from "./types.ts";

/** Addresses of other nodes in the IP cache: they are "remote-node", reached like their pods. */
export class NodeAddresses {
  readonly #ipcache: IpCache;
  #known: ReadonlyMap<string, IpCacheEntry> = new Map();

  constructor(ipcache: IpCache) {
    this.#ipcache = ipcache;
  }

  /** From now on these are the other nodes. */
  set(peers: readonly Node[]): void {
    const entries = peers.flatMap((peer) => entriesOf(peer));
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

function entriesOf({ ipv4, ipv6, routerIpv4, routerIpv6 }: Node): IpCacheEntry[] {
  const addresses = [ipv4, ipv6, routerIpv4, routerIpv6].flatMap((address) => address ?? []);
  return addresses.map((address) => ({
    prefix: hostPrefix(address),
    identity: ReservedIdentity.remoteNode,
    tunnelEndpoint: ipv4 ?? "0.0.0.0",
    encryptKey: 0,
    source: "kvstore",
  }));
}
