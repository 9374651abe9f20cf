/** Crash-safe key-value storage for what must survive the agent: one named collection a kind of row. */
export interface StateCollection<T> {
  /** Everything stored, in key order. */
  all(): readonly { readonly key: string; readonly value: T }[];
  get(key: string): T | undefined;
  /** Resolves when the value is on disk (fsync'ed): only then may an RPC acknowledge it. */
  put(key: string, value: T): Promise<void>;
  delete(key: string): Promise<void>;
}

export interface StateStore {
  /** Values are plain JSON-like data (bigint allowed). */
  collection<T>(name: string): StateCollection<T>;
  /** Directory it lives in; other cells may keep caches there. */
  readonly directory: string;
}
