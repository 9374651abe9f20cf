import type { TableKey } from "../types.ts";
import { Heap } from "./heap.ts";
import type { Task } from "./task.ts";

/** A task that failed, and when it is tried again. */
export interface Failure<Row, Key extends TableKey> {
  readonly task: Task<Row, Key>;
  readonly error: Error;
  /** How often in a row it failed. */
  readonly attempts: number;
  /** When it last failed, in milliseconds since the epoch. */
  readonly at: number;
  /** When it is due, in milliseconds since the epoch. */
  readonly dueAt: number;
}

/**
 * The rows in error. Each is tried again after a delay that doubles with every failure and is spread by a
 * quarter either way, so that rows that fail for different reasons do not move in step.
 */
export class Retries<Row, Key extends TableKey> {
  readonly #minMs: number;
  readonly #maxMs: number;
  readonly #failures = new Map<Key, Failure<Row, Key>>();
  /** By due time; holds failures that have been replaced, too, until they come up. */
  readonly #queue = new Heap<Failure<Row, Key>>((a, b) => a.dueAt - b.dueAt);

  constructor(minMs: number, maxMs: number) {
    this.#minMs = minMs;
    this.#maxMs = maxMs;
  }

  get size(): number {
    return this.#failures.size;
  }

  get(key: Key): Failure<Row, Key> | undefined {
    return this.#failures.get(key);
  }

  all(): IterableIterator<Failure<Row, Key>> {
    return this.#failures.values();
  }

  /** Remembers a failure. `attempts` counts the ones before it that this one continues. */
  fail(task: Task<Row, Key>, error: Error, attempts: number, now: number): void {
    const dueAt = now + retryDelay(attempts, this.#minMs, this.#maxMs);
    const failure = { task, error, attempts: attempts + 1, at: now, dueAt };
    this.#failures.set(task.key, failure);
    this.#queue.push(failure);
  }

  succeed(key: Key): void {
    if (this.#failures.size > 0) this.#failures.delete(key);
  }

  /** Failures that are due. They stay in error until their next attempt ends, and are not returned twice. */
  takeDue(now: number, limit: number): Failure<Row, Key>[] {
    const due: Failure<Row, Key>[] = [];
    for (let top = this.#top(); top && due.length < limit && top.dueAt <= now; top = this.#top()) {
      due.push(top);
      this.#queue.pop();
    }
    return due;
  }

  /** When the next failure is due. */
  get nextAt(): number {
    return this.#top()?.dueAt ?? Number.POSITIVE_INFINITY;
  }

  #top(): Failure<Row, Key> | undefined {
    for (let top = this.#queue.peek(); top; top = this.#queue.peek()) {
      if (this.#failures.get(top.task.key) === top) return top;
      this.#queue.pop();
    }
    return undefined;
  }
}

/** The delay, in milliseconds, before the attempt that follows so many failures and one more. */
export function retryDelay(attempts: number, minMs: number, maxMs: number, random = Math.random()): number {
  const doubled = Math.min(maxMs, minMs * 2 ** attempts);
  return Math.max(minMs, Math.min(maxMs, doubled * (0.75 + random / 2)));
}
