import { Observable } from "rxjs";
import type { Entry } from "./entry.ts";
import type { History } from "./history.ts";
import type { Change, RowChange, TableKey } from "./types.ts";

interface Listener<Row, Key extends TableKey> {
  readonly receive: (changes: readonly Change<Row, Key>[]) => void;
  /** Up to where in history the listener's snapshot goes. */
  readonly seq: number;
}

/** The live change streams of a table. */
export class Streams<Row, Key extends TableKey> {
  readonly #history: History<Row, Key>;
  readonly #revision: () => number;
  readonly #listeners = new Set<Listener<Row, Key>>();

  constructor(history: History<Row, Key>, revision: () => number) {
    this.#history = history;
    this.#revision = revision;
  }

  /** Whether anybody listens. */
  get active(): boolean {
    return this.#listeners.size > 0;
  }

  /** A snapshot with a sync mark, then a transaction's changes at a time. */
  batches(): Observable<readonly Change<Row, Key>[]> {
    return new Observable((subscriber) => {
      const snapshot: Change<Row, Key>[] = [];
      for (const entry of this.#history.live()) snapshot.push(changeOf(entry));
      snapshot.push({ kind: "sync", revision: this.#revision() });
      // Listen before delivering the snapshot: what its receiver writes is not to be missed, but comes after it.
      const early: (readonly Change<Row, Key>[])[] = [];
      let live = false;
      const listener: Listener<Row, Key> = {
        seq: this.#history.lastSeq,
        receive: (changes) => {
          if (live) subscriber.next(changes);
          else early.push(changes);
        },
      };
      this.#listeners.add(listener);
      subscriber.add(() => this.#listeners.delete(listener));
      subscriber.next(snapshot);
      for (let i = 0; i < early.length; i++) subscriber.next(early[i]!);
      live = true;
    });
  }

  /** The same, change by change. */
  changes(): Observable<Change<Row, Key>> {
    return new Observable((subscriber) =>
      this.batches().subscribe((batch) => {
        for (const change of batch) {
          if (subscriber.closed) return;
          subscriber.next(change);
        }
      }),
    );
  }

  /** Delivers a transaction's changes, of which the last has this place in history. */
  deliver(changes: readonly RowChange<Row, Key>[], seq: number): void {
    for (const listener of [...this.#listeners]) {
      if (listener.seq < seq) listener.receive(changes);
    }
  }
}

/** What a version of a row, or a tombstone, says. */
export function changeOf<Row, Key extends TableKey>(entry: Entry<Row, Key>): RowChange<Row, Key> {
  const { key, row, revision } = entry;
  return entry.deleted ? { kind: "delete", key, row, revision } : { kind: "upsert", key, row, revision };
}
