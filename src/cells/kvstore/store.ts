import type { Observable } from "rxjs";

/** A key as the store has it. */
export interface KvEntry {
  readonly key: string;
  readonly value: string;
  /** Revision of the store at which the key was last written. */
  readonly mod: number;
  /** Lease that the key ends with; "0" for none. */
  readonly lease: string;
}

/** All keys below a prefix at one revision of the store. */
export interface KvSnapshot {
  readonly revision: number;
  readonly entries: readonly KvEntry[];
}

/** What a watch reports. A deletion has the revision at which it happened. */
export type KvEvent =
  | { readonly kind: "put"; readonly entry: KvEntry }
  | { readonly kind: "delete"; readonly key: string; readonly mod: number };

/** A condition of a transaction. */
export type KvCompare =
  /** The key was last written at this revision; 0: it does not exist. */
  | { readonly kind: "mod"; readonly key: string; readonly mod: number }
  | { readonly kind: "value"; readonly key: string; readonly value: string }
  /** There is no key below the prefix. */
  | { readonly kind: "empty"; readonly prefix: string };

/** How long a written key lives: until it is deleted, as long as this agent's lease, or as tombstones do. */
export type KvLifetime = "lasting" | "leased" | "tombstone";

/** A write of a transaction. */
export type KvWrite =
  | { readonly kind: "put"; readonly key: string; readonly value: string; readonly lifetime: KvLifetime }
  | { readonly kind: "delete"; readonly key: string };

/** Writes that happen together if all conditions hold; otherwise keys to read. At most `maxTxnOps` of each. */
export interface KvTxn {
  readonly when: readonly KvCompare[];
  readonly write: readonly KvWrite[];
  readonly otherwiseRead?: readonly string[];
}

/** Conditions, or writes, of one transaction: half of what etcd allows by default (`--max-txn-ops 128`). */
export const maxTxnOps = 64;

export type KvTxnResult =
  | { readonly succeeded: true; readonly revision: number }
  | {
      readonly succeeded: false;
      readonly revision: number;
      /** What the keys of `otherwiseRead` hold, in their order. */
      readonly found: readonly (KvEntry | undefined)[];
    };

/**
 * One connection to the store, with this agent's lease, from when all of it works until any of it fails. Keys are
 * relative to the cluster's prefix. Every call rejects with a KvStoreError; one that says that the store is out of
 * reach also ends the session.
 */
export interface KvSession {
  readonly endpoint: string;
  /**
   * Names the store's life: another one means that the store was emptied, replaced or set back, and that what it
   * lacks was not deleted by anybody.
   */
  readonly epoch: string;
  /** The store's revision when the session began. */
  readonly revision: number;
  readonly lease: string;
  /** Aborts, with the reason, when the session ends. */
  readonly signal: AbortSignal;

  /** Everything below the prefix, read in pages. */
  list(prefix: string): Promise<KvSnapshot>;
  txn(txn: KvTxn): Promise<KvTxnResult>;
  /**
   * Reports changes after a revision, in their order and those of one transaction together, until the session ends.
   *
   * @param onEvents called synchronously as changes arrive: a slow reader slows the connection down
   * @returns never; rejects with KvCompactedError when the store has forgotten that far back, otherwise with why it
   * ended
   */
  watch(prefix: string, after: number, onEvents: (events: readonly KvEvent[]) => void): Promise<never>;
}

/** Whether the store can be reached, since when, and why not. */
export type KvStatus =
  | { readonly state: "connecting"; readonly since: Date }
  | { readonly state: "connected"; readonly since: Date; readonly endpoint: string }
  | { readonly state: "away"; readonly since: Date; readonly reason: Error };

/** A store that nodes share, by way of its sessions. */
export interface KvStore {
  /** How long what a dead node has announced stays, in milliseconds. */
  readonly leaseTtlMs: number;
  /** Whether this node holds the lease or held it before, also in earlier runs of the agent. */
  isOwnLease(lease: string): boolean;
  /** The running session, or undefined while there is none; starts with the present one. */
  readonly sessions: Observable<KvSession | undefined>;
  readonly status: Observable<KvStatus>;
}
