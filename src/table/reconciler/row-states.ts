import type { Table, TableKey } from "../types.ts";
import type { Settings } from "./options.ts";
import { type Failure, Retries } from "./retries.ts";
import type { Task } from "./task.ts";
import type { RowStatus } from "./types.ts";

/** How each row stands: what is in place, what is in error, what is being refreshed. */
export class RowStates<Row, Key extends TableKey> {
  readonly retries: Retries<Row, Key>;
  readonly #table: Table<Row, Key>;
  /** The revision of the version that is in place. */
  readonly #applied = new Map<Key, number>();
  #refreshing: ReadonlyMap<Key, number> = new Map();

  constructor(table: Table<Row, Key>, settings: Settings) {
    this.#table = table;
    this.retries = new Retries(settings.retryMinMs, settings.retryMaxMs);
  }

  /** Whether the row's version, in the table now, is in place. */
  inPlace(key: Key): boolean {
    const revision = this.#table.getWithRevision(key)?.revision;
    return revision !== undefined && this.#applied.get(key) === revision;
  }

  /** Notes which rows are being refreshed, until the next call. */
  refreshing(tasks: readonly Task<Row, Key>[]): void {
    const now = Date.now();
    this.#refreshing = new Map(tasks.map((task) => [task.key, now]));
  }

  succeeded(task: Task<Row, Key>): void {
    this.retries.succeed(task.key);
    if (task.kind === "upsert") this.#applied.set(task.key, task.revision);
    else this.#applied.delete(task.key);
  }

  /** The count of failures starts over when the row has changed since the last one. */
  failed(task: Task<Row, Key>, error: Error, now: number): void {
    const earlier = this.retries.get(task.key);
    const attempts = earlier?.task.revision === task.revision ? earlier.attempts : 0;
    this.retries.fail(task, error, attempts, now);
    this.#applied.delete(task.key);
  }

  /** The first revision whose change to the row is not applied, given a change first made at this one. */
  unappliedSince(key: Key, revision: number): number {
    if (this.retries.size === 0) return revision;
    return Math.min(revision, this.retries.get(key)?.task.since ?? revision);
  }

  status(key: Key): RowStatus | undefined {
    const current = this.#table.getWithRevision(key);
    const failure = this.retries.get(key);
    const applied = this.#applied.get(key);
    if (!current) return this.#statusOfDeleted(key, failure);
    const { revision: id } = current;
    const refreshedAt = this.#refreshing.get(key);
    if (failure?.task.revision === id) return statusOfFailure(failure);
    if (applied !== id) return { kind: "pending", id, at: current.at };
    if (refreshedAt !== undefined) return { kind: "refreshing", id, at: refreshedAt };
    return { kind: "done", id, at: current.at };
  }

  #statusOfDeleted(key: Key, failure: Failure<Row, Key> | undefined): RowStatus | undefined {
    if (failure?.task.kind === "delete") return statusOfFailure(failure);
    if (failure) return { kind: "pending", id: failure.task.revision, at: failure.at };
    const applied = this.#applied.get(key);
    return applied === undefined ? undefined : { kind: "pending", id: applied, at: Date.now() };
  }
}

function statusOfFailure<Row, Key extends TableKey>(failure: Failure<Row, Key>): RowStatus {
  return { kind: "error", id: failure.task.revision, at: failure.at, error: failure.error };
}
