import { ReconcileError, type ReconcileFailure } from "../errors.ts";
import type { TableKey } from "../types.ts";
import { Waiters } from "../waiters.ts";
import type { Retries } from "./retries.ts";

/** How far a reconciler has come, and who waits for it to come further. */
export class Progress<Row, Key extends TableKey> {
  readonly #name: string;
  readonly #retries: Retries<Row, Key>;
  readonly #waiting = new Map<number, Waiters>();
  #revision = 0;

  constructor(name: string, retries: Retries<Row, Key>) {
    this.#name = name;
    this.#retries = retries;
  }

  /** Every change at or below this revision has been tried. */
  get revision(): number {
    return this.#revision;
  }

  reached(revision: number): void {
    if (revision <= this.#revision) return;
    this.#revision = revision;
    for (const [wanted, waiters] of this.#waiting) {
      if (wanted > revision) continue;
      this.#waiting.delete(wanted);
      waiters.release();
    }
  }

  /** Resolves once every change up to the revision has been tried, and these rows, or all, are not in error. */
  async wait(revision: number, signal?: AbortSignal, keys?: readonly Key[]): Promise<void> {
    signal?.throwIfAborted();
    if (revision > this.#revision) {
      let waiters = this.#waiting.get(revision);
      if (!waiters) {
        waiters = new Waiters();
        this.#waiting.set(revision, waiters);
      }
      await waiters.wait(signal);
    }
    const failures = [...this.#failures(revision, keys)];
    if (failures.length > 0) throw new ReconcileError(this.#name, revision, failures);
  }

  /** Ends all waiting. */
  fail(error: Error): void {
    for (const waiters of this.#waiting.values()) waiters.fail(error);
    this.#waiting.clear();
  }

  *#failures(revision: number, keys: readonly Key[] | undefined): IterableIterator<ReconcileFailure> {
    const candidates = keys
      ? new Set(keys).values().map((key) => this.#retries.get(key))
      : this.#retries.all();
    for (const failure of candidates) {
      if (!failure || failure.task.since > revision) continue;
      yield { key: failure.task.key, revision: failure.task.revision, cause: failure.error };
    }
  }
}
