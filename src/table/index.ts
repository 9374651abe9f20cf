import type { ReconcilerMetrics, ReconcilerOptions, RowStatus } from "./reconciler/types.ts";
import type { TableKey } from "./types.ts";

export { Database } from "./database.ts";
export { type Derivation, type DeriveOptions, derive } from "./derive.ts";
export * from "./errors.ts";
export type * from "./reconciler/types.ts";
export type * from "./types.ts";
export declare class Reconciler<Row, Key extends TableKey> {
  constructor(options: ReconcilerOptions<Row, Key>);
  start(): void;
  stop(): Promise<void>;
  waitReconciled(revision: number, signal?: AbortSignal, keys?: readonly Key[]): Promise<void>;
  status(key: Key): RowStatus | undefined;
  prune(): Promise<void>;
  metrics(): ReconcilerMetrics;
}
