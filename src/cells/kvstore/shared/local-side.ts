import type { KvLifetime } from "../store.ts";
import type { SharedRow } from "../types.ts";
import type { SharedRecord } from "./record.ts";
import type { ReplicaEntry } from "./replica.ts";

/** A key in the store, as a collection's records. */
export type RemoteEntry<T> = ReplicaEntry<SharedRecord<T>>;

/** What has to be done in the store so that it agrees with this node. */
export type Step<T> =
  | { readonly kind: "nothing" }
  /** Another node has the key; there is nothing to do before it lets go. */
  | { readonly kind: "held"; readonly by: string }
  | { readonly kind: "put"; readonly record: SharedRecord<T>; readonly lifetime: KvLifetime }
  | { readonly kind: "delete" };

/** What this node itself says of a collection's keys, beside what the store says. */
export interface LocalSide<T> {
  /** Brings back what is on disk. */
  load(): void;
  /** Keys about which this node has something to say. */
  keys(): Iterable<string>;
  /** Resolves when it is on disk and counts. @throws StateArgumentError, StateWriteError */
  put(key: string, value: T): Promise<void>;
  /** The same; `remote` is what the store has. */
  delete(key: string, remote: RemoteEntry<T> | undefined): Promise<void>;
  /** The row to show for a key, from both sides. */
  row(key: string, remote: RemoteEntry<T> | undefined): SharedRow<T> | undefined;
  /**
   * @param remote what the store has; undefined when it has nothing
   * @param lease that of the session
   */
  step(key: string, remote: RemoteEntry<T> | undefined, lease: string): Step<T>;
  /** The store's state of a key has become known: what it makes superfluous is forgotten. */
  observed(key: string, remote: RemoteEntry<T> | undefined): void;
}
