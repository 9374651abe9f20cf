import type { TableKey } from "../types.ts";
import type { CallResult } from "./incremental.ts";
import type { PruneResult } from "./pruning.ts";
import type { ReconcilerMetrics } from "./types.ts";

/** What `Metrics` counts; the rest of `ReconcilerMetrics` is looked up when asked for. */
type Counts = Omit<ReconcilerMetrics, "inError" | "revision">;

/** Counts what a reconciler does. */
export class Metrics {
  readonly #counts: { -readonly [Name in keyof Counts]: number } = {
    updates: 0,
    deletes: 0,
    errors: 0,
    retries: 0,
    refreshes: 0,
    batches: 0,
    prunes: 0,
    pruneErrors: 0,
    pruned: 0,
    updateMs: 0,
    deleteMs: 0,
    pruneMs: 0,
    longestBatchMs: 0,
  };

  get counts(): Counts {
    return { ...this.#counts };
  }

  called<Row, Key extends TableKey>(result: CallResult<Row, Key>, failed: number): void {
    const counts = this.#counts;
    counts.batches++;
    counts.errors += failed;
    counts.longestBatchMs = Math.max(counts.longestBatchMs, result.ms);
    if (result.operation === "update") {
      counts.updates += result.tasks.length;
      counts.updateMs += result.ms;
    } else {
      counts.deletes += result.tasks.length;
      counts.deleteMs += result.ms;
    }
  }

  took(retries: number, refreshes: number): void {
    this.#counts.retries += retries;
    this.#counts.refreshes += refreshes;
  }

  pruned(result: PruneResult): void {
    this.#counts.prunes++;
    this.#counts.pruned += result.removed;
    this.#counts.pruneMs += result.ms;
    if (result.error) this.#counts.pruneErrors++;
  }
}
