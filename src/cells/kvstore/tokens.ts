import { token } from "../../hive/index.ts";
import type { Following } from "./shared/following.ts";
import type { KvStore } from "./store.ts";
import type { SharedCollections } from "./types.ts";

/** The store itself, for those whose needs go beyond shared collections. */
export interface ClusterState {
  /** Undefined when the state directory is all the store there is. */
  readonly store: KvStore | undefined;
  /** This node's name. */
  readonly node: string;
  /** Where to register, in a constructor, what follows the store. */
  readonly following: Following;
  /** How long after an outage keys that are gone may still come back, in milliseconds. */
  readonly settleMs: number;
}

/** The store that nodes share. */
export const ClusterStore = token<ClusterState>("ClusterStore");

/** Collections of rows that all nodes see. Open them in constructors; usable once the kvstore cell has started. */
export const SharedState = token<SharedCollections>("SharedState");
