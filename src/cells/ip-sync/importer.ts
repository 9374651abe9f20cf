import type { IpCacheEntry, IpCacheFeed } from "../ipcache/index.ts";
import { type AddressChange, entryOf } from "./address.ts";

/** Brings addresses of other nodes' pods into the IP cache, a batch of changes at a time. */
export class AddressImporter {
  readonly #ipcache: IpCacheFeed;
  /** What each key has become in the IP cache. */
  readonly #prefixes = new Map<string, string>();

  constructor(ipcache: IpCacheFeed) {
    this.#ipcache = ipcache;
  }

  /** How many addresses of other nodes are known. */
  get size(): number {
    return this.#prefixes.size;
  }

  /** Follows one transaction of the shared collection. */
  apply(changes: readonly AddressChange[]): void {
    const entries = new Map<string, IpCacheEntry>();
    const gone = new Set<string>();
    for (const change of changes) {
      if (change.kind === "sync") continue;
      // What is this node's own comes from its endpoints.
      if (change.kind === "upsert" && !change.row.own) {
        const entry = entryOf(change.key, change.row.value);
        this.#prefixes.set(change.key, entry.prefix);
        entries.set(entry.prefix, entry);
        gone.delete(entry.prefix);
        continue;
      }
      const prefix = this.#prefixes.get(change.key);
      if (prefix === undefined) continue;
      this.#prefixes.delete(change.key);
      entries.delete(prefix);
      gone.add(prefix);
    }
    this.#ipcache.push({ removals: [...gone], upserts: [...entries.values()] });
  }
}
