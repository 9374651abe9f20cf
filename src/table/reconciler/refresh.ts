import type { Table, TableKey } from "../types.ts";
import type { RowStates } from "./row-states.ts";
import type { Task } from "./task.ts";

/** Goes through all rows at intervals, to put those in place once more that are in place already. */
export class Refresh<Row, Key extends TableKey> {
  readonly #table: Table<Row, Key>;
  readonly #states: RowStates<Row, Key>;
  readonly #intervalMs: number;
  #nextAt: number;
  #round: Iterator<Row> | undefined;

  constructor(table: Table<Row, Key>, states: RowStates<Row, Key>, intervalMs: number) {
    this.#table = table;
    this.#states = states;
    this.#intervalMs = intervalMs;
    this.#nextAt = intervalMs > 0 ? Date.now() + intervalMs : Number.POSITIVE_INFINITY;
  }

  /** When there is something to do next, in milliseconds since the epoch. */
  get nextAt(): number {
    return this.#round ? 0 : this.#nextAt;
  }

  /** The next rows of the round, if one is under way or due. Rows that have changed are left to their change. */
  take(now: number, limit: number): Task<Row, Key>[] {
    if (!this.#round && now < this.#nextAt) return [];
    this.#round ??= this.#table.snapshot().all();
    const tasks: Task<Row, Key>[] = [];
    while (tasks.length < limit) {
      const { done, value: row } = this.#round.next();
      if (done) {
        this.#round = undefined;
        this.#nextAt = now + this.#intervalMs;
        break;
      }
      const key = this.#table.keyOf(row);
      const current = this.#table.getWithRevision(key);
      if (!current || !this.#states.inPlace(key)) continue;
      const { revision } = current;
      tasks.push({ kind: "upsert", key, row: current.row, revision, since: revision });
    }
    return tasks;
  }
}
