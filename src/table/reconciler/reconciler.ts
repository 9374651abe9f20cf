import { setImmediate as yieldToEventLoop } from "node:timers/promises";
import { InvalidDefinitionError, ReconcilerStateError, toError } from "../errors.ts";
import type { ChangeCursor, Table, TableKey } from "../types.ts";
import { Health } from "./health.ts";
import { type CallResult, Incremental } from "./incremental.ts";
import { Lookahead } from "./lookahead.ts";
import { Metrics } from "./metrics.ts";
import { MAX_TIMER_MS, type Settings, settingsOf } from "./options.ts";
import { Progress } from "./progress.ts";
import { Pruning } from "./pruning.ts";
import { Refresh } from "./refresh.ts";
import { RowStates } from "./row-states.ts";
import type { Task } from "./task.ts";
import type {
  PreparedUpdate,
  ReconcilerLogger,
  ReconcilerMetrics,
  ReconcilerOptions,
  RowStatus,
} from "./types.ts";

/** What is done at a time. */
interface Batch<Row, Key extends TableKey> {
  readonly tasks: readonly Task<Row, Key>[];
  /** Applies the tasks, if they were made ready. */
  readonly prepared: PreparedUpdate | undefined;
}

/**
 * Keeps the world outside as the rows of a table say. It follows the table's changes, coalesced and in
 * batches, deletions first; tries failed rows again with growing delays, while all others go on; and prunes
 * what belongs to no row once the table is initialized and all its rows have been tried, then at intervals.
 *
 * @example
 * const reconciler = new Reconciler({ name: 'routes', table: routes, ops: new RouteOps() });
 * reconciler.start();
 * await reconciler.waitReconciled(routes.upsert({ to: '10.0.0.0/8', via: '192.0.2.1' }));
 */
export class Reconciler<Row, Key extends TableKey> {
  readonly name: string;
  readonly #table: Table<Row, Key>;
  readonly #settings: Settings;
  readonly #logger: ReconcilerLogger | undefined;
  readonly #incremental: Incremental<Row, Key>;
  readonly #states: RowStates<Row, Key>;
  readonly #lookahead: Lookahead<Row, Key>;
  readonly #progress: Progress<Row, Key>;
  readonly #pruning: Pruning<Row, Key>;
  readonly #refresh: Refresh<Row, Key>;
  readonly #health: Health<Row, Key>;
  readonly #metrics = new Metrics();
  readonly #stopping = new AbortController();
  #cursor: ChangeCursor<Row, Key> | undefined;
  #running: Promise<void> | undefined;
  /** Whether changes have been taken from the cursor whose outcome is not known yet. */
  #busy = false;
  #nap: AbortController | undefined;
  #pruneError: Error | undefined;

  /** @throws InvalidDefinitionError when an option is out of range */
  constructor(options: ReconcilerOptions<Row, Key>) {
    const { name, table, ops, logger } = options;
    const settings = settingsOf(options);
    this.name = name;
    this.#table = table;
    this.#settings = settings;
    this.#logger = logger;
    this.#incremental = new Incremental(name, ops, settings.batchSize);
    this.#states = new RowStates(table, settings);
    this.#lookahead = new Lookahead(this.#incremental, this.#states, settings.batchSize);
    this.#progress = new Progress(name, this.#states.retries);
    this.#pruning = new Pruning(name, table, ops, settings);
    this.#refresh = new Refresh(table, this.#states, settings.refreshIntervalMs);
    this.#health = new Health(name, this.#states.retries, options.onHealth, logger);
  }

  /**
   * Begins to reconcile all rows.
   *
   * @throws ReconcilerStateError when it was started before: build another one instead
   */
  start(): void {
    if (this.#running || this.#stopping.signal.aborted) {
      throw new ReconcilerStateError(this.name, "it can be started only once");
    }
    const cursor = this.#table.changeCursor();
    this.#cursor = cursor;
    this.#states.follow(cursor);
    this.#running = this.#run(cursor);
    this.#table.whenInitialized(this.#stopping.signal).then(
      () => this.#wake(),
      () => undefined, // it was stopped first
    );
  }

  /** Waits for the operation under way, and ends. What is in place stays there. Safe to repeat. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    await this.#running;
    this.#end(new ReconcilerStateError(this.name, "it is stopped"));
  }

  /**
   * Resolves when every change up to the revision is applied.
   *
   * @param revision of the table's database, as writes return it
   * @param keys when given, only these rows' errors count
   * @throws ReconcileError when rows are in error since a change at or below the revision, although they
   *   will be tried again; ReconcilerStateError when the reconciler stops; InvalidDefinitionError for a
   *   revision that is yet to come; the signal's reason when it aborts
   */
  async waitReconciled(revision: number, signal?: AbortSignal, keys?: readonly Key[]): Promise<void> {
    if (!(revision <= this.#table.databaseRevision)) {
      throw new InvalidDefinitionError(
        `reconciler ${this.name}: wait for revision ${revision}: the database is at ${this.#table.databaseRevision}`,
      );
    }
    this.#ensureNotStopped();
    this.#noteProgress();
    await this.#progress.wait(revision, signal, keys);
  }

  /** How a row stands; undefined when it does not exist and nothing is left of it. */
  status(key: Key): RowStatus | undefined {
    return this.#states.status(key);
  }

  /**
   * Prunes as soon as the table is initialized and all its rows have been tried, and resolves after that.
   *
   * @throws ReconcilerOpsError when pruning fails; ReconcilerStateError when the reconciler stops
   */
  async prune(): Promise<void> {
    this.#ensureNotStopped();
    const pruned = this.#pruning.request();
    this.#wake();
    await pruned;
  }

  /** What has been done so far. */
  metrics(): ReconcilerMetrics {
    this.#noteProgress();
    return {
      ...this.#metrics.counts,
      inError: this.#states.retries.size,
      revision: this.#progress.revision,
    };
  }

  async #run(cursor: ChangeCursor<Row, Key>): Promise<void> {
    try {
      while (!this.#stopping.signal.aborted) {
        await this.#step(cursor);
        this.#noteProgress();
        this.#health.update(this.#pruneError);
        await this.#rest(cursor);
      }
    } catch (thrown) {
      this.#breakDown(thrown);
    }
  }

  /** Only a fault of the reconciler, of a key function or of the logger leads here. */
  #breakDown(thrown: unknown): void {
    const error = new ReconcilerStateError(this.name, `it broke down: ${toError(thrown).message}`);
    error.cause = thrown;
    this.#stopping.abort();
    this.#end(error);
    this.#health.update(error);
    try {
      this.#logger?.error({ err: error, reconciler: this.name }, "reconciler broke down");
    } catch {
      // The logger may be what broke; its fault is the cause of the error that is told here.
      process.emitWarning(error);
    }
  }

  async #step(cursor: ChangeCursor<Row, Key>): Promise<void> {
    const now = Date.now();
    if (this.#pruning.nextAt <= now) await this.#prune();
    this.#busy = true;
    const { tasks, prepared } = this.#takeTasks(cursor, Date.now());
    const over = this.#lookahead.during(tasks, cursor);
    try {
      for await (const result of this.#incremental.apply(tasks, prepared)) this.#settle(result);
    } finally {
      over();
    }
    this.#states.refreshing([]);
    this.#states.over();
    this.#busy = false;
  }

  /** Changes, and what is to be retried; when there are none, what is to be refreshed. */
  #takeTasks(cursor: ChangeCursor<Row, Key>, now: number): Batch<Row, Key> {
    const { batchSize } = this.#settings;
    const ahead = this.#lookahead.take();
    const changes = ahead?.changes ?? cursor.take(batchSize);
    const due = this.#states.retries.takeDue(now, batchSize);
    if (changes.length + due.length > 0) {
      const tasks = this.#states.tasksOf(changes);
      const changed = due.length === 0 ? undefined : new Set(changes.map(({ key }) => key));
      for (const { task } of due) if (!changed?.has(task.key)) tasks.push(task);
      this.#states.begun(tasks);
      this.#metrics.took(tasks.length - changes.length, 0);
      return { tasks, prepared: due.length === 0 ? ahead?.prepared : undefined };
    }
    const refreshes = this.#refresh.take(now, batchSize);
    this.#states.refreshing(refreshes);
    this.#metrics.took(0, refreshes.length);
    return { tasks: refreshes, prepared: undefined };
  }

  #settle(result: CallResult<Row, Key>): void {
    const { operation, tasks, outcome, ms } = result;
    const now = Date.now();
    let failed = 0;
    let firstError: Error | undefined;
    tasks.forEach((task, i) => {
      const error = outcome instanceof Error ? outcome : (outcome[i] ?? undefined);
      if (error === undefined) {
        this.#states.succeeded(task);
        return;
      }
      failed++;
      firstError ??= toError(error);
      this.#states.failed(task, toError(error), now);
    });
    this.#states.ended(tasks);
    this.#metrics.called(result, failed);
    const fields = { reconciler: this.name, operation, rows: tasks.length, ms };
    if (firstError)
      this.#logger?.warn({ ...fields, failed, err: firstError }, "rows could not be reconciled");
    else this.#logger?.debug(fields, "reconciled rows");
  }

  async #prune(): Promise<void> {
    const result = await this.#pruning.run();
    this.#metrics.pruned(result);
    this.#pruneError = result.error;
    const { removed, ms, error } = result;
    const fields = { reconciler: this.name, removed, ms };
    if (error) this.#logger?.warn({ ...fields, err: error }, "prune failed");
    else this.#logger?.debug(fields, "pruned");
    await yieldToEventLoop();
  }

  /** While a batch is under way, the cursor is ahead of what is known. */
  #noteProgress(): void {
    if (this.#busy || !this.#cursor) return;
    const revision = this.#lookahead.ahead?.taken ?? this.#cursor.revision;
    this.#progress.reached(revision);
    this.#pruning.reached(revision);
  }

  /** Waits until there is something to do. */
  async #rest(cursor: ChangeCursor<Row, Key>): Promise<void> {
    if (this.#lookahead.ahead !== undefined) return;
    const nextAt = Math.min(this.#states.retries.nextAt, this.#pruning.nextAt, this.#refresh.nextAt);
    const delay = nextAt - Date.now();
    if (delay <= 0 || this.#stopping.signal.aborted) return;
    const nap = new AbortController();
    this.#nap = nap;
    const timer =
      nextAt === Number.POSITIVE_INFINITY
        ? undefined
        : setTimeout(() => nap.abort(), Math.min(delay, MAX_TIMER_MS));
    try {
      await cursor.wait(nap.signal);
    } catch (error) {
      if (!nap.signal.aborted) throw error;
    } finally {
      clearTimeout(timer);
      this.#nap = undefined;
    }
  }

  #wake(): void {
    this.#noteProgress();
    this.#nap?.abort();
  }

  #end(error: ReconcilerStateError): void {
    this.#cursor?.close();
    this.#cursor = undefined;
    this.#progress.fail(error);
    this.#pruning.fail(error);
  }

  #ensureNotStopped(): void {
    if (this.#stopping.signal.aborted) throw new ReconcilerStateError(this.name, "it is stopped");
  }
}
