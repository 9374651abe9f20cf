import { TransactionError } from "./errors.ts";
import type { Txn } from "./types.ts";

/** A table's part in a transaction. */
export interface Participant {
  /** Makes what was written final; returns what tells the observers, if there is anything to tell. */
  commit(revision: number, at: number): (() => void) | undefined;
  /** Forgets what was written; the undo log has restored the rows already. */
  abort(): void;
}

/** The transaction that writes join. */
export class ActiveTxn implements Txn {
  readonly revision: number;
  /** The time of everything written, in milliseconds since the epoch. */
  readonly at: number = Date.now();
  readonly participants = new Set<Participant>();
  readonly #undo: (() => void)[] = [];

  constructor(revision: number) {
    this.revision = revision;
  }

  /** How far `rollBack` may go back. */
  get mark(): number {
    return this.#undo.length;
  }

  record(participant: Participant, undo: () => void): void {
    this.participants.add(participant);
    this.#undo.push(undo);
  }

  rollBack(mark: number): void {
    while (this.#undo.length > mark) this.#undo.pop()!();
  }
}

/**
 * One writer at a time over all tables of a database. JavaScript runs a transaction's function to its end, so
 * writes need no lock: they join whichever transaction is active.
 */
export class Transactions {
  #revision = 0;
  #active: ActiveTxn | undefined;
  readonly #deliveries: (() => void)[] = [];
  #delivering = false;

  /** The revision of the last transaction that wrote anything. */
  get revision(): number {
    return this.#revision;
  }

  /** Runs `fn` in a new transaction, or, with its own roll-back, in the one that is active. */
  run<T>(fn: (txn: ActiveTxn) => T): T {
    if (this.#active) return attempt(this.#active, fn);
    const txn = new ActiveTxn(this.#revision + 1);
    this.#active = txn;
    let result: T;
    try {
      result = attempt(txn, fn);
    } catch (error) {
      for (const participant of txn.participants) participant.abort();
      throw error;
    } finally {
      this.#active = undefined;
    }
    this.#commit(txn);
    return result;
  }

  #commit(txn: ActiveTxn): void {
    if (txn.mark === 0) {
      // Nothing was written, or all of it was rolled back by a transaction inside this one.
      for (const participant of txn.participants) participant.abort();
      return;
    }
    this.#revision = txn.revision;
    for (const participant of txn.participants) {
      const deliver = participant.commit(txn.revision, txn.at);
      if (deliver) this.#deliveries.push(deliver);
    }
    this.#deliver();
  }

  /** An observer may write: what that commits waits its turn, so that all see changes in revision order. */
  #deliver(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    try {
      for (let i = 0; i < this.#deliveries.length; i++) this.#deliveries[i]!();
    } finally {
      this.#deliveries.length = 0;
      this.#delivering = false;
    }
  }
}

function attempt<T>(txn: ActiveTxn, fn: (txn: ActiveTxn) => T): T {
  const mark = txn.mark;
  try {
    const result = fn(txn);
    if (isThenable(result)) {
      // Nobody observes the promise of a refused function any more; its failure is of no further interest.
      Promise.resolve(result).catch(() => undefined);
      throw new TransactionError("a transaction must be synchronous, but its function returned a promise");
    }
    return result;
  } catch (error) {
    txn.rollBack(mark);
    throw error;
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
