import { setImmediate as yieldToEventLoop } from "node:timers/promises";
import { ReconcilerOpsError, toError } from "../errors.ts";
import type { TableKey } from "../types.ts";
import type { Task } from "./task.ts";
import type { PreparedUpdate, ReconcilerOps } from "./types.ts";

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

  /** Whether anything is gained by preparing. */
  get prepares(): boolean {
    return this.#ops.prepareUpdate !== undefined;
  }

  /** Makes updates ready to be applied in one call; undefined when that cannot be: applying them will tell why. */
  prepare(tasks: readonly Task<Row, Key>[]): PreparedUpdate | undefined {
    if (tasks.length > this.#batchSize || tasks.some(({ kind }) => kind !== "upsert")) return undefined;
    try {
      return this.#ops.prepareUpdate?.(tasks.map(({ row }) => row));
    } catch {
      return undefined;
    }
  }

  /**
   * Works through the tasks, of which no two are for the same row, and yields what became of them.
   *
   * @param prepared what `prepare` made of these tasks
   */
  async *apply(
    tasks: readonly Task<Row, Key>[],
    prepared?: PreparedUpdate,
  ): AsyncGenerator<CallResult<Row, Key>> {
    for (const operation of ["delete", "update"] as const) {
      const kind = kindOf[operation];
      const wanted = tasks.every((task) => task.kind === kind)
        ? tasks
        : tasks.filter((task) => task.kind === kind);
      for (let i = 0; i < wanted.length; i += this.#batchSize) {
        const batch = wanted.length <= this.#batchSize ? wanted : wanted.slice(i, i + this.#batchSize);
        // Enough to find one culprit among them; if all fail, few calls are wasted.
        const splits = { left: Math.ceil(Math.log2(batch.length)) };
        yield* this.#perform(operation, batch, splits, prepared);
      }
    }
  }

  /** When a call rejects as a whole, its halves are tried, so that one bad row does not hold up the others. */
  async *#perform(
    operation: "update" | "delete",
    tasks: readonly Task<Row, Key>[],
    splits: { left: number },
    prepared?: PreparedUpdate,
  ): AsyncGenerator<CallResult<Row, Key>> {
    const started = performance.now();
    let turned = false;
    setImmediate(() => {
      turned = true;
    });
    const outcome = await this.#call(operation, tasks, prepared);
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
    prepared: PreparedUpdate | undefined,
  ): Promise<readonly (Error | undefined)[] | Error> {
    try {
      const results = await (prepared === undefined
        ? this.#ops[operation](tasks.map((task) => task.row))
        : prepared());
      if (Array.isArray(results) && results.length === tasks.length) return results;
      const got = Array.isArray(results) ? `${results.length} results` : "no results";
      return new ReconcilerOpsError(this.#name, operation, `${got} for ${tasks.length} rows`);
    } catch (error) {
      const { message } = toError(error);
      return new ReconcilerOpsError(this.#name, operation, message, error);
    }
  }
}
