import type { ReconcilerMetrics, ReconcilerOptions, RowStatus } from "./reconciler/types.ts";
import type { RWTable, Table, TableDef, TableKey, Txn } from "./types.ts";

export * from "./errors.ts";
export type * from "./reconciler/types.ts";
export type * from "./types.ts";
export interface Derivation {
  start(): void;
  stop(): void;
}
export declare class Database {
  readonly revision: number;
  createTable<Row, Key extends TableKey>(def: TableDef<Row, Key>): RWTable<Row, Key>;
  transaction<T>(fn: (txn: Txn) => T): T;
}
export declare function derive<A, KA extends TableKey, B, KB extends TableKey>(
  source: Table<A, KA>,
  target: RWTable<B, KB>,
  map: (row: A) => readonly B[],
): Derivation;
export declare class Reconciler<Row, Key extends TableKey> {
  constructor(options: ReconcilerOptions<Row, Key>);
  start(): void;
  stop(): Promise<void>;
  waitReconciled(revision: number, signal?: AbortSignal, keys?: readonly Key[]): Promise<void>;
  status(key: Key): RowStatus | undefined;
  prune(): Promise<void>;
  metrics(): ReconcilerMetrics;
}
