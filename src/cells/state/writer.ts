import type { RootDatabase } from "lmdb";
import { StateWriteError } from "./errors.ts";

interface Write {
  readonly key: string;
  /** Undefined to delete. */
  readonly value: Buffer | undefined;
  resolve(): void;
  reject(error: StateWriteError): void;
}

/**
 * Group commit: what is written while a commit is under way goes together into the next one, so that many writers
 * share the cost of one fdatasync. Writes made one after the other without awaiting share a transaction: after a
 * crash all of them are there, or none.
 */
export class GroupWriter {
  readonly #db: RootDatabase<Buffer, string>;
  #queue: Write[] = [];
  #flushing: Promise<void> | undefined;

  constructor(db: RootDatabase<Buffer, string>) {
    this.#db = db;
  }

  /** Resolves when the value, or its absence, is on disk. @throws StateWriteError */
  write(key: string, value: Buffer | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ key, value, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  /** Resolves when nothing is under way; never rejects. */
  async idle(): Promise<void> {
    while (this.#flushing !== undefined) await this.#flushing;
  }

  async #flush(): Promise<void> {
    // Let the code that wrote finish its turn: it may have more to write.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const writes = this.#queue;
      this.#queue = [];
      try {
        await this.#commit(writes);
        for (const write of writes) write.resolve();
      } catch (error) {
        const cause = await reasonOf(error);
        for (const { key, value, reject } of writes) {
          reject(new StateWriteError(value === undefined ? "delete" : "put", key, cause));
        }
      }
    }
    this.#flushing = undefined;
  }

  async #commit(writes: readonly Write[]): Promise<void> {
    await this.#db.batch(() => {
      for (const { key, value } of writes) {
        if (value === undefined) this.#db.remove(key);
        else this.#db.put(key, value);
      }
    });
  }
}

/** lmdb puts the reason of a failed commit into a promise on the error; left alone it would be unhandled. */
async function reasonOf(error: unknown): Promise<unknown> {
  const inner = (error as { commitError?: PromiseLike<unknown> }).commitError;
  if (inner === undefined) return error;
  try {
    await inner;
    return error;
  } catch (reason) {
    return reason;
  }
}
