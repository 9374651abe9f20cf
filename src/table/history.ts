import { Cursor } from "./cursor.ts";
import { Entry, Link, type Stamp } from "./entry.ts";
import { RevisionCompactedError } from "./errors.ts";
import type { TableKey } from "./types.ts";

/**
 * The committed versions of a table's rows in revision order, newest last, with its deleted rows for as long
 * as a cursor has yet to see them. A linked list, because a row that is written again moves to the end, and
 * because a cursor is then a mark between two links, which stays right whatever moves.
 */
export class History<Row, Key extends TableKey> {
  readonly table: string;
  readonly #databaseRevision: () => number;
  readonly #entry: (key: Key) => Entry<Row, Key> | undefined;
  readonly #first = new Link();
  #last: Link = this.#first;
  #lastSeq = 0;
  /** Deleted rows in the order of their deletion. */
  readonly #graves = new Map<Key, Entry<Row, Key>>();
  readonly #cursors = new Set<Cursor<Row, Key>>();
  /** The newest revision whose deletions may be forgotten. */
  #compacted = 0;

  /** @param entry what the table has of a key, committed or not */
  constructor(
    table: string,
    databaseRevision: () => number,
    entry: (key: Key) => Entry<Row, Key> | undefined,
  ) {
    this.table = table;
    this.#entry = entry;
    this.#databaseRevision = databaseRevision;
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }

  get databaseRevision(): number {
    return this.#databaseRevision();
  }

  /** How many deleted rows are remembered. */
  get graves(): number {
    return this.#graves.size;
  }

  /** The newest version of a row, or the memory of its deletion; its place is 0 until it is committed. */
  newest(key: Key): Entry<Row, Key> | undefined {
    return this.#entry(key) ?? this.#graves.get(key);
  }

  /** The live rows in revision order. */
  *live(): IterableIterator<Entry<Row, Key>> {
    for (let link = this.#first.next; link; link = link.next) {
      if (link instanceof Entry && !link.deleted) yield link;
    }
  }

  /** Adds what a transaction made of one row, and returns it: the new version, or a tombstone of the old. */
  record(
    before: Entry<Row, Key> | undefined,
    after: Entry<Row, Key> | undefined,
    stamp: Stamp,
  ): Entry<Row, Key> | undefined {
    const newest = after ?? (before && new Entry(before.key, before.row, stamp, true));
    if (!newest) return undefined;
    const superseded = before ?? this.#graves.get(newest.key);
    if (superseded) {
      for (const cursor of this.#cursors) cursor.superseded(superseded);
      this.#unlink(superseded);
      this.#graves.delete(newest.key);
    }
    newest.seq = ++this.#lastSeq;
    this.#insertAfter(this.#last, newest);
    if (newest.deleted) this.#graves.set(newest.key, newest);
    return newest;
  }

  /** To be called after a transaction's changes were recorded. */
  committed(): void {
    this.trim();
    for (const cursor of this.#cursors) cursor.wake();
  }

  /** A cursor before the first row. It skips rows that were deleted before it was opened. */
  openAtStart(): Cursor<Row, Key> {
    return this.#open(this.#first, 0, this.#lastSeq);
  }

  /** A cursor after the last change at or below the revision. */
  openAfter(revision: number): Cursor<Row, Key> {
    if (revision < this.#compacted) throw new RevisionCompactedError(this.table, revision, this.#compacted);
    let link = this.#last;
    while (link.prev && !(link instanceof Entry && link.revision <= revision)) link = link.prev;
    return this.#open(link, link instanceof Entry ? link.seq : 0, 0);
  }

  #open(after: Link, seq: number, skipGravesTo: number): Cursor<Row, Key> {
    const cursor = new Cursor<Row, Key>(this, seq, skipGravesTo);
    this.#insertAfter(after, cursor.mark);
    this.#cursors.add(cursor);
    return cursor;
  }

  /** Moves a cursor's mark behind the link. */
  moveMark(mark: Link, after: Link): void {
    this.#unlink(mark);
    this.#insertAfter(after, mark);
  }

  close(cursor: Cursor<Row, Key>): void {
    if (!this.#cursors.delete(cursor)) return;
    this.#unlink(cursor.mark);
    this.trim();
  }

  /** Forgets the deleted rows that every cursor has passed. */
  trim(): void {
    if (this.#graves.size === 0) return;
    let passed = this.#lastSeq;
    for (const cursor of this.#cursors) passed = Math.min(passed, cursor.seq);
    for (const grave of this.#graves.values()) {
      if (grave.seq > passed) return;
      this.#unlink(grave);
      this.#graves.delete(grave.key);
      this.#compacted = grave.revision;
    }
  }

  #insertAfter(place: Link, link: Link): void {
    link.prev = place;
    link.next = place.next;
    if (place.next) place.next.prev = link;
    else this.#last = link;
    place.next = link;
  }

  #unlink(link: Link): void {
    if (link.prev) link.prev.next = link.next;
    if (link.next) link.next.prev = link.prev;
    else this.#last = link.prev ?? this.#first;
    link.prev = undefined;
    link.next = undefined;
  }
}
