import { isIP } from "node:net";
import type { Reconciler, RWTable, TableDef } from "../../table/index.ts";
import { failedPrecondition, invalidArgument, notFound, resourceExhausted } from "../errors.ts";
import type { StateCollection } from "../state/index.ts";
import { PacedFeed } from "./feed.ts";
import { PrefixLengths } from "./prefix-lengths.ts";
import { outranks, Shadowed } from "./sources.ts";
import type { IpCache, IpCacheEntry, IpCacheFeed, IpCacheSource } from "./types.ts";
import { canonicalPrefix, checkedEntry } from "./validate.ts";

export const ipcacheTable: TableDef<IpCacheEntry, string> = {
  name: "ipcache",
  key: ({ prefix }) => prefix,
};

/** What is stored of an entry of the API; its key is the prefix. */
export type StoredEntry = Omit<IpCacheEntry, "source" | "prefix">;

export interface IpCacheParts {
  readonly table: RWTable<IpCacheEntry, string>;
  readonly reconciler: Reconciler<IpCacheEntry, string>;
  readonly storage: StateCollection<StoredEntry>;
  /** Entries that the kernel's map has room for. */
  capacity(): number;
}

/** The table holds, for each prefix, what the strongest source says; the reconciler brings it to the kernel. */
export class LayeredIpCache implements IpCache {
  readonly table: RWTable<IpCacheEntry, string>;
  readonly reconciler: Reconciler<IpCacheEntry, string>;
  readonly #storage: StateCollection<StoredEntry>;
  readonly #capacity: () => number;
  readonly #shadowed = new Shadowed();
  readonly #lengths = new PrefixLengths();

  constructor(parts: IpCacheParts) {
    this.table = parts.table;
    this.reconciler = parts.reconciler;
    this.#storage = parts.storage;
    this.#capacity = () => parts.capacity();
  }

  registerInitializer(name: string): () => void {
    return this.table.registerInitializer(name);
  }

  /** Brings back what the API has stored. */
  restore(): void {
    this.upsertMany(
      this.#storage.all().map(({ key, value }) => ({ prefix: key, ...value, source: "api" as const })),
    );
  }

  upsert(entry: IpCacheEntry): number {
    return this.upsertMany([entry]);
  }

  upsertMany(entries: readonly IpCacheEntry[]): number {
    return this.table.mergeMany(entries.map(checkedEntry), (entry, shown) => this.#believed(entry, shown));
  }

  feed(source: IpCacheSource, onError: (error: Error) => void): IpCacheFeed {
    return new PacedFeed(this, source, onError);
  }

  /** The entry, unless a stronger one is shown: the other is kept for when that one goes. */
  #believed(entry: IpCacheEntry, shown: IpCacheEntry | undefined): IpCacheEntry | undefined {
    if (shown === undefined) this.#lengths.add(entry.prefix);
    else if (outranks(shown.source, entry.source)) {
      this.#shadowed.set(entry);
      return undefined;
    } else if (shown.source !== entry.source) {
      this.#shadowed.remove(entry.prefix, entry.source);
      this.#shadowed.set(shown);
    }
    return entry;
  }

  remove(prefix: string, source: IpCacheSource): IpCacheEntry | undefined {
    const canonical = canonicalPrefix(prefix);
    const shown = this.table.get(canonical);
    if (shown?.source !== source) return this.#shadowed.remove(canonical, source);
    const next = this.#shadowed.first(canonical);
    if (next === undefined) {
      this.table.delete(canonical);
      this.#lengths.remove(canonical);
    } else {
      this.#shadowed.remove(canonical, next.source);
      this.table.upsert(next);
    }
    return shown;
  }

  removeMany(prefixes: readonly string[], source: IpCacheSource): number {
    if (prefixes.length === 0) return this.table.revision;
    return this.table.transaction(({ revision }) => {
      for (const prefix of prefixes) this.remove(prefix, source);
      return revision;
    });
  }

  async apiUpsert(entry: Omit<IpCacheEntry, "source">, signal?: AbortSignal): Promise<IpCacheEntry> {
    const { prefix, ...rest } = checkedEntry(entry);
    this.#refuseHiding(prefix);
    if (!this.table.has(prefix) && this.table.size >= this.#capacity()) {
      throw resourceExhausted(`the ipcache has no room for more than its ${this.table.size} prefixes`);
    }
    const { identity, tunnelEndpoint, encryptKey } = rest;
    const stored: StoredEntry = { identity, tunnelEndpoint, encryptKey };
    await this.#storage.put(prefix, stored);
    const row: IpCacheEntry = { prefix, ...stored, source: "api" };
    const revision = this.upsert(row);
    await this.reconciler.waitReconciled(revision, signal, [prefix]);
    return row;
  }

  async apiDelete(prefix: string, signal?: AbortSignal): Promise<void> {
    const canonical = canonicalPrefix(prefix);
    if (this.#said(canonical).every(({ source }) => source !== "api"))
      throw notFound("ipcache entry of the API", canonical);
    await this.#storage.delete(canonical);
    this.remove(canonical, "api");
    await this.reconciler.waitReconciled(this.table.revision, signal, [canonical]);
  }

  lookup(address: string): IpCacheEntry | undefined {
    if (isIP(address) === 0 || address.includes("%")) {
      throw invalidArgument([
        { field: "address", description: `${JSON.stringify(address)} is no IP address` },
      ]);
    }
    for (const prefix of this.#lengths.candidates(address)) {
      const row = this.table.get(prefix);
      if (row !== undefined) return row;
    }
    return undefined;
  }

  /** What all sources say of the prefix, strongest first. */
  #said(prefix: string): readonly IpCacheEntry[] {
    const shown = this.table.get(prefix);
    return shown === undefined ? [] : [shown, ...this.#shadowed.all(prefix)];
  }

  #refuseHiding(prefix: string): void {
    const holder = this.#said(prefix).find(({ source }) => outranks(source, "api"));
    if (holder === undefined) return;
    const whose = {
      reserved: "is reserved",
      node: "is the node's own",
      endpoint: "belongs to an endpoint",
      kvstore: "belongs to another node or its pods",
      api: "is taken",
      service: "is a service's",
    }[holder.source];
    throw failedPrecondition(
      `prefix ${prefix} ${whose} (identity ${holder.identity}) and cannot be overridden`,
    );
  }
}
