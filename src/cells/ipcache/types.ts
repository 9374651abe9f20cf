import type { Reconciler, Table } from "../../table/index.ts";

/** Who said that a prefix has an identity. Higher sources win: see `sourcePriority`. */
export type IpCacheSource = "service" | "api" | "kvstore" | "endpoint" | "node" | "reserved";

/** A prefix and the identity behind it. */
export interface IpCacheEntry {
  /** "10.0.1.5/32"; host bits are zero. */
  readonly prefix: string;
  readonly identity: number;
  /** Address of the node to encapsulate towards; "0.0.0.0" for none. */
  readonly tunnelEndpoint: string;
  readonly encryptKey: number;
  readonly source: IpCacheSource;
}

/** Changes of one source. Removals come first. */
export interface IpCacheFeedBatch {
  readonly removals: readonly string[];
  readonly upserts: readonly IpCacheEntry[];
}

/**
 * Brings one source's changes into the IP cache in their order. A few are made at once; many a few milliseconds at a
 * time, so that other work goes on, and the kernel has the first of them while the last are yet to come.
 */
export interface IpCacheFeed {
  push(batch: IpCacheFeedBatch): void;
  /** Resolves when all that was pushed is in the table. */
  settled(): Promise<void>;
  /** Drops what is still on its way. */
  close(): void;
}

export interface IpCache {
  readonly table: Table<IpCacheEntry, string>;
  readonly reconciler: Reconciler<IpCacheEntry, string>;
  /** Adds or replaces what this source says of the prefix. Sources shadow each other; deleting one shows the next. */
  upsert(entry: IpCacheEntry): number;
  upsertMany(entries: readonly IpCacheEntry[]): number;
  /**
   * For a source that may bring ten thousands of entries at once.
   *
   * @param onError told of what the cache refuses; the rest is taken all the same
   */
  feed(source: IpCacheSource, onError: (error: Error) => void): IpCacheFeed;
  /** Removes what this source said; undefined when it said nothing. */
  remove(prefix: string, source: IpCacheSource): IpCacheEntry | undefined;
  /** Removes what this source said of many prefixes, in one transaction; returns the table's revision after it. */
  removeMany(prefixes: readonly string[], source: IpCacheSource): number;
  /**
   * The API's own entries survive restarts; resolves when stored and in the kernel.
   *
   * @throws RefusalError INVALID_ARGUMENT, FAILED_PRECONDITION when a stronger source has the prefix,
   * RESOURCE_EXHAUSTED; StateWriteError, and nothing has changed; ReconcileError when it is stored but the kernel
   * refuses it: it is tried again
   */
  apiUpsert(entry: Omit<IpCacheEntry, "source">, signal?: AbortSignal): Promise<IpCacheEntry>;
  /** Resolves when it is gone from the kernel. @throws RefusalError NOT_FOUND; otherwise as `apiUpsert` */
  apiDelete(prefix: string, signal?: AbortSignal): Promise<void>;
  /** The entry with the longest prefix of the address. @throws RefusalError INVALID_ARGUMENT */
  lookup(address: string): IpCacheEntry | undefined;
  /**
   * Announces a source that brings back entries of the agent's last run: the kernel's map is not pruned before the
   * returned function is called. Call it in a constructor.
   */
  registerInitializer(name: string): () => void;
}
