import { ReservedIdentity } from "../identity/index.ts";
import type { IpCache, IpCacheEntry } from "../ipcache/index.ts";
import { hostPrefix } from "../node-config/index.ts";
import type { Node } from "./types.ts";

/** Addresses of other nodes in the IP cache: they are "remote-node", reached like their pods. */
export class NodeAddresses {
  readonly #ipcache: IpCache;
  #known: ReadonlySet<string> = new Set();

  constructor(ipcache: IpCache) {
    this.#ipcache = ipcache;
  }

  /** From now on these are the other nodes. */
  set(peers: readonly Node[]): void {
    const entries = peers.flatMap((peer) => entriesOf(peer));
    const prefixes = new Set(entries.map(({ prefix }) => prefix));
    this.#ipcache.removeMany(
      [...this.#known].filter((prefix) => !prefixes.has(prefix)),
      "kvstore",
    );
    this.#ipcache.upsertMany(entries);
    this.#known = prefixes;
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
