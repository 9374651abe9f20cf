import type { Stamp } from "./entry.ts";
import { TransactionError } from "./errors.ts";
import type { Txn } from "./types.ts";

/** A table's part in a transaction. `Key` and `Entry` are its own: what it records comes back to it alone. */
export interface Participant<Key = never, Entry = never> {
  /** Puts back what a key had before a write; called for the newest write first. */
  restore(key: Key, before: Entry | undefined): void;
  /** Makes what was written to a key final; called for each write in order, with what the key had before and after it. */
  settle(key: Key, before: Entry | undefined, after: Entry | undefined, stamp: Stamp): void;
  /** Called after the last `settle`; returns what tells the observers, if there is anything to tell. */
  commit(revision: number): (() => void) | undefined;
}

/** A participant of whatever keys and entries. */
type AnyParticipant = Participant<unknown, unknown>;

/** The transaction that writes join. */
export class ActiveTxn implements Txn {
  readonly revision: number;
  /** Of everything written. */
  readonly stamp: Stamp;
  readonly participants = new Set<AnyParticipant>();
  /** Participant, key and what the key had before and after, write by write: flat, for there may be ten thousands of writes. */
  readonly #log: unknown[] = [];

  constructor(revision: number) {
    this.revision = revision;
    this.stamp = { revision, at: Date.now() };
  }

  /** How far `rollBack` may go back. */
  get mark(): number {
    return this.#log.length;
  }

  record<Key, Entry>(
    participant: Participant<Key, Entry>,
    key: Key,
    before: Entry | undefined,
    after: Entry | undefined,
  ): void {
    this.#log.push(participant, key, before, after);
  }

  rollBack(mark: number): void {
    const log = this.#log;
    while (log.length > mark) {
      log.pop();
      const before = log.pop();
      const key = log.pop();
      (log.pop() as AnyParticipant).restore(key, before);
    }
  }

  /** Makes all writes final, in order. */
  settle(): void {
    const log = this.#log;
    let last: AnyParticipant | undefined;
    for (let i = 0; i < log.length; i += 4) {
      const participant = log[i] as AnyParticipant;
      if (participant !== last) this.participants.add(participant);
      last = participant;
      participant.settle(log[i + 1], log[i + 2], log[i + 3], this.stamp);
    }
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
    } finally {
      this.#active = undefined;
    }
    this.#commit(txn);
    return result;
  }

  #commit(txn: ActiveTxn): void {
    // Nothing was written, or all of it was rolled back by a transaction inside this one.
    if (txn.mark === 0) return;
    this.#revision = txn.revision;
    txn.settle();
    for (const participant of txn.participants) {
      const deliver = participant.commit(txn.revision);
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
