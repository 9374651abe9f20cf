import type { ChangeCursor, CoalescedChange, Table, TableKey } from "../types.ts";
import type { Settings } from "./options.ts";
import { type Failure, Retries } from "./retries.ts";
import { type Task, taskOf } from "./task.ts";
import type { RowStatus } from "./types.ts";

/**
 * How each row stands: what is to come, what is under way, what is in error, what is being refreshed. All else is in
 * place, which is nearly everything: nothing is kept of it.
 */
export class RowStates<Row, Key extends TableKey> {
  readonly retries: Retries<Row, Key>;
  readonly #table: Table<Row, Key>;
  #cursor: ChangeCursor<Row, Key> | undefined;
  #underWay: readonly Task<Row, Key>[] = [];
  /** Taken already, to be under way next. */
  #next: readonly Task<Row, Key>[] = [];
  /** Those of them whose outcome is known. */
  readonly #ended: (readonly Task<Row, Key>[])[] = [];
  /** The others, and the next ones, by key, once somebody has asked. */
  #underWayByKey: Map<Key, Task<Row, Key>> | undefined;
  #refreshing: ReadonlyMap<Key, number> = new Map();

  constructor(table: Table<Row, Key>, settings: Settings) {
    this.#table = table;
    this.retries = new Retries(settings.retryMinMs, settings.retryMaxMs);
  }

  /** What it has not handed out yet is pending; without one, everything is. */
  follow(cursor: ChangeCursor<Row, Key>): void {
    this.#cursor = cursor;
  }

  /** Whether the row's version, in the table now, is in place. */
  inPlace(key: Key): boolean {
    return this.#table.has(key) && !this.retries.get(key) && this.#toCome(key) === undefined;
  }

  /** Notes which rows are being refreshed, until the next call. */
  refreshing(tasks: readonly Task<Row, Key>[]): void {
    const now = Date.now();
    this.#refreshing = new Map(tasks.map((task) => [task.key, now]));
  }

  /** Notes that the tasks, no two of the same row, are under way: each until it has succeeded or failed. */
  begun(tasks: readonly Task<Row, Key>[]): void {
    this.over();
    this.#underWay = tasks;
    this.#next = [];
  }

  /** Notes that nothing is under way. */
  over(): void {
    this.#underWay = [];
    this.#ended.length = 0;
    this.#underWayByKey = undefined;
  }

  /** Notes that the tasks, no two of the same row, have been taken while others are under way. */
  taken(tasks: readonly Task<Row, Key>[]): void {
    this.#next = tasks;
    this.#underWayByKey = undefined;
  }

  succeeded(task: Task<Row, Key>): void {
    this.retries.succeed(task.key);
  }

  /** The count of failures starts over when the row has changed since the last one. */
  failed(task: Task<Row, Key>, error: Error, now: number): void {
    const earlier = this.retries.get(task.key);
    const attempts = earlier?.task.revision === task.revision ? earlier.attempts : 0;
    this.retries.fail(task, error, attempts, now);
  }

  /** Notes that the outcome of these, of the tasks under way, is known. */
  ended(tasks: readonly Task<Row, Key>[]): void {
    this.#ended.push(tasks);
    this.#underWayByKey = undefined;
  }

  /** What changes ask for, each since the first revision whose change to the row is not applied. */
  tasksOf(changes: readonly CoalescedChange<Row, Key>[]): Task<Row, Key>[] {
    if (this.retries.size === 0) return [...changes];
    return changes.map((change) => {
      const failedSince = this.retries.get(change.key)?.task.since ?? change.since;
      return taskOf(change, Math.min(change.since, failedSince));
    });
  }

  status(key: Key): RowStatus | undefined {
    const current = this.#table.getWithRevision(key);
    const failure = this.retries.get(key);
    if (!current) return this.#statusOfDeleted(key, failure);
    const { revision: id } = current;
    const refreshedAt = this.#refreshing.get(key);
    if (failure?.task.revision === id) return statusOfFailure(failure);
    if (this.#toCome(key) !== undefined) return { kind: "pending", id, at: current.at };
    if (refreshedAt !== undefined) return { kind: "refreshing", id, at: refreshedAt };
    return { kind: "done", id, at: current.at };
  }

  #statusOfDeleted(key: Key, failure: Failure<Row, Key> | undefined): RowStatus | undefined {
    if (failure?.task.kind === "delete") return statusOfFailure(failure);
    if (failure) return { kind: "pending", id: failure.task.revision, at: failure.at };
    const id = this.#toCome(key);
    return id === undefined ? undefined : { kind: "pending", id, at: Date.now() };
  }

  /** The revision of the row's newest version, or of its deletion, when that has not been tried. */
  #toCome(key: Key): number | undefined {
    if (!this.#cursor) return this.#table.getWithRevision(key)?.revision;
    return this.#cursor.awaits(key) ?? this.#tasksByKey().get(key)?.revision;
  }

  #tasksByKey(): ReadonlyMap<Key, Task<Row, Key>> {
    if (this.#underWayByKey) return this.#underWayByKey;
    const byKey = new Map(this.#underWay.map((task) => [task.key, task]));
    for (const tasks of this.#ended) for (const { key } of tasks) byKey.delete(key);
    for (const task of this.#next) byKey.set(task.key, task);
    this.#underWayByKey = byKey;
    return byKey;
  }
}

function statusOfFailure<Row, Key extends TableKey>(failure: Failure<Row, Key>): RowStatus {
  return { kind: "error", id: failure.task.revision, at: failure.at, error: failure.error };
}
