import { ReconcilerOpsError, toError } from "../errors.ts";
import type { Table, TableKey } from "../types.ts";
import { Waiters } from "../waiters.ts";
import type { Settings } from "./options.ts";
import { retryDelay } from "./retries.ts";
import type { ReconcilerOps } from "./types.ts";

/** What became of a prune. */
export interface PruneResult {
  readonly removed: number;
  readonly ms: number;
  readonly error?: Error;
}

/** Decides when to prune: once the table is complete and was gone through, at intervals, and on demand. */
export class Pruning<Row, Key extends TableKey> {
  readonly #name: string;
  readonly #table: Table<Row, Key>;
  readonly #ops: ReconcilerOps<Row>;
  readonly #settings: Settings;
  #requests = new Waiters();
  /** The revision to be reached before anything may be pruned; known once the table is initialized. */
  #readyAt: number | undefined;
  #ready = false;
  #nextAt = 0;
  #failures = 0;

  constructor(name: string, table: Table<Row, Key>, ops: ReconcilerOps<Row>, settings: Settings) {
    this.#name = name;
    this.#table = table;
    this.#ops = ops;
    this.#settings = settings;
  }

  /** Resolves when a prune that began after this call has succeeded. */
  request(): Promise<void> {
    return this.#requests.wait();
  }

  /** Notes how far the reconciler has come. */
  reached(revision: number): void {
    if (this.#ready || !this.#table.initialized) return;
    this.#readyAt ??= this.#table.databaseRevision;
    this.#ready = revision >= this.#readyAt;
  }

  /** When to prune next, in milliseconds since the epoch. */
  get nextAt(): number {
    if (!this.#ready) return Number.POSITIVE_INFINITY;
    return this.#requests.size > 0 ? 0 : this.#nextAt;
  }

  async run(): Promise<PruneResult> {
    const requests = this.#requests;
    this.#requests = new Waiters();
    const started = performance.now();
    using snapshot = this.#table.snapshot();
    try {
      const { removed } = await this.#ops.prune({ [Symbol.iterator]: () => snapshot.all() });
      this.#failures = 0;
      const interval = this.#settings.pruneIntervalMs;
      this.#nextAt = interval > 0 ? Date.now() + interval : Number.POSITIVE_INFINITY;
      requests.release();
      return { removed, ms: performance.now() - started };
    } catch (cause) {
      const error = new ReconcilerOpsError(this.#name, "prune", toError(cause).message, cause);
      const { retryMinMs, retryMaxMs } = this.#settings;
      this.#nextAt = Date.now() + retryDelay(this.#failures++, retryMinMs, retryMaxMs);
      requests.fail(error);
      return { removed: 0, ms: performance.now() - started, error };
    }
  }

  /** Ends all waiting. */
  fail(error: Error): void {
    this.#requests.fail(error);
  }
}
