import { InitializerError } from "./errors.ts";
import { Waiters } from "./waiters.ts";

/** The sources of a table's rows that have yet to say that they delivered everything they had. */
export class Initializers {
  readonly #table: string;
  readonly #names = new Set<string>();
  readonly #pending = new Set<string>();
  readonly #waiters = new Waiters();

  constructor(table: string) {
    this.#table = table;
  }

  get done(): boolean {
    return this.#pending.size === 0;
  }

  register(name: string): () => void {
    if (this.#names.has(name)) {
      throw new InitializerError(`table ${this.#table}: initializer ${name} is registered already`);
    }
    if (this.#names.size > 0 && this.done) {
      throw new InitializerError(
        `table ${this.#table}: initializer ${name} comes too late: the table counts as initialized`,
      );
    }
    this.#names.add(name);
    this.#pending.add(name);
    return () => {
      if (this.#pending.delete(name) && this.done) this.#waiters.release();
    };
  }

  async wait(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (!this.done) await this.#waiters.wait(signal);
  }
}
