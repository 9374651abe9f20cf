import { Entry, Link } from "./entry.ts";
import { CursorClosedError, InvalidDefinitionError } from "./errors.ts";
import type { History } from "./history.ts";
import type { ChangeCursor, CoalescedChange, TableKey } from "./types.ts";
import { Waiters } from "./waiters.ts";

/** A mark in a table's history; what lies behind it is yet to be handed out. */
export class Cursor<Row, Key extends TableKey> implements ChangeCursor<Row, Key> {
  readonly mark = new Link();
  readonly #history: History<Row, Key>;
  readonly #waiters = new Waiters();
  readonly #skipGravesTo: number;
  /** The first version not handed out of each row that has been written again since. */
  readonly #firstMissed = new Map<Key, number>();
  #seq: number;
  #closed = false;

  constructor(history: History<Row, Key>, seq: number, skipGravesTo: number) {
    this.#history = history;
    this.#seq = seq;
    this.#skipGravesTo = skipGravesTo;
  }

  /** The place in history up to which everything has been handed out. */
  get seq(): number {
    return this.#seq;
  }

  next(limit = Number.POSITIVE_INFINITY): CoalescedChange<Row, Key>[] {
    return this.take(limit).map((change) =>
      change instanceof Entry ? coalesced(change, change.since) : change,
    );
  }

  take(limit: number): CoalescedChange<Row, Key>[] {
    this.#ensureOpen();
    if (!(limit >= 1)) throw new InvalidDefinitionError(`cursor limit must be at least 1, not ${limit}`);
    const changes: CoalescedChange<Row, Key>[] = [];
    let link: Link = this.mark;
    while (changes.length < limit && link.next) {
      link = link.next;
      if (!(link instanceof Entry)) continue;
      this.#seq = link.seq;
      if (!this.#skips(link)) changes.push(this.#handOut(link));
    }
    this.#advanceTo(link);
    return changes;
  }

  awaits(key: Key): number | undefined {
    const newest = this.#history.newest(key);
    if (newest === undefined || this.#skips(newest)) return undefined;
    return newest.seq === 0 || newest.seq > this.#seq ? newest.revision : undefined;
  }

  get pending(): boolean {
    return !this.#closed && this.#peek() !== undefined;
  }

  get revision(): number {
    const next = this.#closed ? undefined : this.#peek();
    let revision = next ? next.revision - 1 : this.#history.databaseRevision;
    for (const missed of this.#firstMissed.values()) revision = Math.min(revision, missed - 1);
    return revision;
  }

  async wait(signal?: AbortSignal, versions = 1): Promise<void> {
    this.#ensureOpen();
    signal?.throwIfAborted();
    while (!this.pending || this.#history.lastSeq - this.#seq < versions) await this.#waiters.wait(signal);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#history.close(this);
    this.#firstMissed.clear();
    this.#waiters.fail(new CursorClosedError(this.#history.table));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** The history tells that a version is replaced; it counts if it was not handed out. */
  superseded(entry: Entry<Row, Key>): void {
    if (entry.seq <= this.#seq || this.#skips(entry) || this.#firstMissed.has(entry.key)) return;
    this.#firstMissed.set(entry.key, entry.revision);
  }

  /** The history tells that there may be something new. */
  wake(): void {
    if (this.#waiters.size > 0 && this.pending) this.#waiters.release();
  }

  #skips(entry: Entry<Row, Key>): boolean {
    return entry.deleted && entry.seq <= this.#skipGravesTo;
  }

  #handOut(entry: Entry<Row, Key>): CoalescedChange<Row, Key> {
    if (this.#firstMissed.size === 0) return entry;
    const since = this.#firstMissed.get(entry.key);
    if (since === undefined) return entry;
    this.#firstMissed.delete(entry.key);
    return coalesced(entry, since);
  }

  /** The next version to hand out, moving past whatever is not handed out. */
  #peek(): Entry<Row, Key> | undefined {
    let passed: Link = this.mark;
    while (passed.next) {
      const link = passed.next;
      if (link instanceof Entry) {
        if (!this.#skips(link)) break;
        this.#seq = link.seq;
      }
      passed = link;
    }
    const next = passed.next;
    this.#advanceTo(passed);
    return next instanceof Entry ? next : undefined;
  }

  #advanceTo(link: Link): void {
    if (link === this.mark) return;
    this.#history.moveMark(this.mark, link);
    this.#history.trim();
  }

  #ensureOpen(): void {
    if (this.#closed) throw new CursorClosedError(this.#history.table);
  }
}

function coalesced<Row, Key extends TableKey>(
  { kind, key, row, revision }: Entry<Row, Key>,
  since: number,
): CoalescedChange<Row, Key> {
  return { kind, key, row, revision, since };
}
