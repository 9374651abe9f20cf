import { setImmediate as yieldToEventLoop } from "node:timers/promises";
import { ReconcilerOpsError, toError } from "../errors.ts";
import type { TableKey } from "../types.ts";
import type { Task } from "./task.ts";
import type { ReconcilerOps } from "./types.ts";

/** What became of the rows of one call. */
export interface CallResult<Row, Key extends TableKey> {
  readonly operation: "update" | "delete";
  readonly tasks: readonly Task<Row, Key>[];
  /** What went wrong, row by row, or with all of them. */
  readonly outcome: readonly (Error | undefined)[] | Error;
  /** How long the call took, in milliseconds. */
  readonly ms: number;
}

const kindOf = { delete: "delete", update: "upsert" } as const;

/** Calls `update` and `delete` for batches of rows, deletions first. */
export class Incremental<Row, Key extends TableKey> {
  readonly #name: string;
  readonly #ops: ReconcilerOps<Row>;
  readonly #batchSize: number;

  constructor(name: string, ops: ReconcilerOps<Row>, batchSize: number) {
    this.#name = name;
    this.#ops = ops;
    this.#batchSize = batchSize;
  }

  /** Works through the tasks, of which no two are for the same row, and yields what became of them. */
  async *apply(tasks: readonly Task<Row, Key>[]): AsyncGenerator<CallResult<Row, Key>> {
    for (const operation of ["delete", "update"] as const) {
      const kind = kindOf[operation];
      const wanted = tasks.every((task) => task.kind === kind)
        ? tasks
        : tasks.filter((task) => task.kind === kind);
      for (let i = 0; i < wanted.length; i += this.#batchSize) {
        const batch = wanted.length <= this.#batchSize ? wanted : wanted.slice(i, i + this.#batchSize);
        // Enough to find one culprit among them; if all fail, few calls are wasted.
        const splits = { left: Math.ceil(Math.log2(batch.length)) };
        yield* this.#perform(operation, batch, splits);
      }
    }
  }

  /** When a call rejects as a whole, its halves are tried, so that one bad row does not hold up the others. */
  async *#perform(
    operation: "update" | "delete",
    tasks: readonly Task<Row, Key>[],
    splits: { left: number },
  ): AsyncGenerator<CallResult<Row, Key>> {
    const started = performance.now();
    let turned = false;
    setImmediate(() => {
      turned = true;
    });
    const outcome = await this.#call(operation, tasks);
    const ms = performance.now() - started;
    if (outcome instanceof Error && tasks.length > 1 && splits.left > 0) {
      splits.left--;
      const middle = tasks.length >> 1;
      await yieldToEventLoop();
      yield* this.#perform(operation, tasks.slice(0, middle), splits);
      yield* this.#perform(operation, tasks.slice(middle), splits);
      return;
    }
    yield { operation, tasks, outcome, ms };
    // Others had their turn during a call that took one; another would leave idle what the call is made to.
    if (!turned) await yieldToEventLoop();
  }

  async #call(
    operation: "update" | "delete",
    tasks: readonly Task<Row, Key>[],
  ): Promise<readonly (Error | undefined)[] | Error> {
    const rows = tasks.map((task) => task.row);
    try {
      const results = await this.#ops[operation](rows);
      if (Array.isArray(results) && results.length === rows.length) return results;
      const got = Array.isArray(results) ? `${results.length} results` : "no results";
      return new ReconcilerOpsError(this.#name, operation, `${got} for ${rows.length} rows`);
    } catch (error) {
      const { message } = toError(error);
      return new ReconcilerOpsError(this.#name, operation, message, error);
    }
  }
}
