import type { Table, TableKey } from "../types.ts";

/**
 * What makes the world outside match the rows of a table. Every operation is idempotent: it may be repeated
 * for a row that is in place, or gone, already. Operations never overlap.
 *
 * What a row stands for outside must depend on its key alone, for a late retry of one row's deletion would
 * otherwise undo another row's update.
 */
export interface ReconcilerOps<Row> {
  /**
   * Puts the rows in place. The result has an element per row: undefined, or what went wrong with it.
   * Rejecting counts as failure of all; the reconciler then looks for the culprit in smaller batches.
   */
  update(rows: readonly Row[]): Promise<readonly (Error | undefined)[]>;

  /**
   * Does of `update` what touches nothing outside, such as encoding, and returns what does the rest. It is called while
   * an earlier operation is under way, what it returns when that has ended, or never. If this throws, `update` is called.
   */
  prepareUpdate?(rows: readonly Row[]): PreparedUpdate;

  /** Takes the rows, given as they last were, out of place. The result is as for `update`. */
  delete(rows: readonly Row[]): Promise<readonly (Error | undefined)[]>;

  /**
   * Removes whatever is in place but belongs to none of these rows. The iterable is a snapshot: it may be
   * iterated repeatedly and over time.
   */
  prune(all: Iterable<Row>): Promise<{ removed: number }>;
}

/** The rest of an `update`; resolves to what `update` would. */
export type PreparedUpdate = () => Promise<readonly (Error | undefined)[]>;

/** How a row stands with the world outside. */
export interface RowStatus {
  /**
   * pending: its newest version has not been tried; refreshing: in place, being put there once more;
   * done: in place; error: the last attempt failed and will be repeated.
   */
  readonly kind: "pending" | "refreshing" | "done" | "error";
  /** The revision of the version, or of the deletion, that this status speaks of. */
  readonly id: number;
  /** Since when, in milliseconds since the epoch; of `done`, when the version was written. */
  readonly at: number;
  /** What went wrong; present when and only when `kind` is `error`. */
  readonly error?: Error;
}

/** The health of a reconciler. */
export interface ReconcilerHealth {
  readonly state: "ok" | "degraded";
  readonly message: string;
  /** The first few errors, each with its row's key. */
  readonly errors: readonly string[];
}

/** Where a reconciler logs; a pino logger fits. */
export interface ReconcilerLogger {
  debug(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** How to build a reconciler. */
export interface ReconcilerOptions<Row, Key extends TableKey> {
  /** Appears in errors, logs and health. */
  readonly name: string;
  readonly table: Table<Row, Key>;
  readonly ops: ReconcilerOps<Row>;
  /** Rows per call of an operation, at most; 4096 by default. */
  readonly batchSize?: number;
  /** Delay before the first retry of a row, in milliseconds; 100 by default. It doubles with each failure. */
  readonly retryMinMs?: number;
  /** Longest delay between retries, in milliseconds; 60,000 by default. */
  readonly retryMaxMs?: number;
  /** Time between prunes, in milliseconds; an hour by default; 0 leaves only the first one. */
  readonly pruneIntervalMs?: number;
  /** Time between refreshes of all rows, in milliseconds; 0, the default, never. */
  readonly refreshIntervalMs?: number;
  /** Called whenever the health changes. */
  readonly onHealth?: (health: ReconcilerHealth) => void;
  readonly logger?: ReconcilerLogger;
}

/** What a reconciler has done since it was built. Durations are in milliseconds. */
export interface ReconcilerMetrics {
  /** Rows handed to `update`, retries and refreshes included. */
  readonly updates: number;
  /** Rows handed to `delete`, retries included. */
  readonly deletes: number;
  /** Rows for which an operation failed, counted per failure. */
  readonly errors: number;
  /** Rows of `updates` and `deletes` that had failed before. */
  readonly retries: number;
  /** Rows of `updates` that were in place already and were refreshed. */
  readonly refreshes: number;
  /** Calls of `update` and `delete`. */
  readonly batches: number;
  readonly prunes: number;
  readonly pruneErrors: number;
  /** What prunes removed. */
  readonly pruned: number;
  /** Rows in error now. */
  readonly inError: number;
  /** Every change at or below this revision has been tried. */
  readonly revision: number;
  readonly updateMs: number;
  readonly deleteMs: number;
  readonly pruneMs: number;
  /** The longest single call of `update` or `delete`. */
  readonly longestBatchMs: number;
}
