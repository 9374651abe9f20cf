import type { ChangeCursor, TableKey } from "../types.ts";
import type { Incremental } from "./incremental.ts";
import type { RowStates } from "./row-states.ts";
import type { Task } from "./task.ts";
import type { PreparedUpdate } from "./types.ts";

/** Fewer tasks are done with too soon for anything to be made ready meanwhile. */
const worthwhile = 256;

/** A batch of changes that was taken while the one before it was under way. */
export interface Ahead<Row, Key extends TableKey> {
  readonly changes: readonly Task<Row, Key>[];
  /** Every change at or below this revision had been taken before. */
  readonly taken: number;
  /** Makes of the changes what `update` would, if they can be made ready. */
  readonly prepared: PreparedUpdate | undefined;
}

/**
 * Takes the next batch of changes, if there is a whole one, while another is under way, and makes it ready: what a
 * reconciler writes to is then not idle for as long as that takes.
 */
export class Lookahead<Row, Key extends TableKey> {
  readonly #incremental: Incremental<Row, Key>;
  readonly #states: RowStates<Row, Key>;
  readonly #batchSize: number;
  #ahead: Ahead<Row, Key> | undefined;

  constructor(incremental: Incremental<Row, Key>, states: RowStates<Row, Key>, batchSize: number) {
    this.#incremental = incremental;
    this.#states = states;
    this.#batchSize = batchSize;
  }

  /** What has been taken, and not been asked for yet. */
  get ahead(): Ahead<Row, Key> | undefined {
    return this.#ahead;
  }

  /** Hands out what has been taken. */
  take(): Ahead<Row, Key> | undefined {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    return ahead;
  }

  /** Looks ahead while these tasks are under way: until the returned function is called. */
  during(tasks: readonly Task<Row, Key>[], cursor: ChangeCursor<Row, Key>): () => void {
    // Rows in error are merged into a batch when it begins: it must not have been made ready without them.
    if (tasks.length < worthwhile || !this.#incremental.prepares || this.#states.retries.size > 0)
      return () => undefined;
    const over = new AbortController();
    cursor.wait(over.signal, this.#batchSize).then(
      () => {
        if (!over.signal.aborted) this.#takeFrom(cursor);
      },
      () => undefined, // the tasks were done first, or the cursor is closed
    );
    return () => over.abort();
  }

  #takeFrom(cursor: ChangeCursor<Row, Key>): void {
    const taken = cursor.revision;
    const changes = cursor.take(this.#batchSize);
    this.#states.taken(changes);
    this.#ahead = { changes, taken, prepared: this.#incremental.prepare(changes) };
  }
}
