export { KvStoreSettings, kvstoreCell } from "./cell.ts";
export * from "./errors.ts";
export { positionsName } from "./shared/collection.ts";
export type { Follower } from "./shared/following.ts";
export { Replica, type ReplicaEntry } from "./shared/replica.ts";
export { type KvEntry, type KvSession, type KvStore, type KvTxn, maxTxnOps } from "./store.ts";
export { type ClusterState, ClusterStore, SharedState } from "./tokens.ts";
export type * from "./types.ts";
