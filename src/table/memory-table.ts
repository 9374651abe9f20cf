import type { Observable } from "rxjs";
import { Entry, type Stamp } from "./entry.ts";
import { InvalidDefinitionError, RevisionMismatchError } from "./errors.ts";
import { freezeRow } from "./freeze.ts";
import { History } from "./history.ts";
import { Indexes } from "./index/indexes.ts";
import { SortedValues } from "./index/sorted-values.ts";
import { Initializers } from "./initializers.ts";
import { ensureKey, Reader, type Walk } from "./reader.ts";
import { type LiveTable, Overlay, Snapshot, walkIndex, walkKeys } from "./snapshot.ts";
import { changeOf, Streams } from "./streams.ts";
import type { ActiveTxn, Participant, Transactions } from "./transactions.ts";
import type {
  Change,
  ChangeCursor,
  IndexValue,
  RowChange,
  RWTable,
  TableDef,
  TableKey,
  TableSnapshot,
  Txn,
} from "./types.ts";

/**
 * The table: rows in a `Map` by key, indexes beside it, and the history from which changes are read. Writes
 * show at once to whoever reads the rows; the history learns of them when their transaction commits.
 */
export class MemoryTable<Row, Key extends TableKey>
  extends Reader<Row, Key>
  implements RWTable<Row, Key>, Participant<Key, Entry<Row, Key>>
{
  readonly name: string;
  readonly #def: TableDef<Row, Key>;
  readonly #transactions: Transactions;
  readonly #rows = new Map<Key, Entry<Row, Key>>();
  readonly #indexes: Indexes<Row, Key>;
  readonly #order = new SortedValues<Key>(() => this.#rows.keys());
  readonly #history: History<Row, Key>;
  readonly #streams: Streams<Row, Key>;
  readonly #initializers: Initializers;
  /** What the transaction that is being committed has changed, if anybody listens. */
  #changes: RowChange<Row, Key>[] = [];
  #changed = false;
  /** Whether the transaction may have written a key more than once, so that not all it recorded is what came of it. */
  #retraced = false;
  #overlay: WeakRef<Overlay<Row, Key>> | undefined;
  #revision = 0;

  constructor(def: TableDef<Row, Key>, transactions: Transactions) {
    super();
    this.name = def.name;
    this.#def = def;
    this.#transactions = transactions;
    this.#indexes = Indexes.of(def.name, def.indexes ?? {});
    this.#history = new History(
      def.name,
      () => transactions.revision,
      (key) => this.#rows.get(key),
    );
    this.#streams = new Streams(this.#history, () => this.#revision);
    this.#initializers = new Initializers(def.name);
  }

  get size(): number {
    return this.#rows.size;
  }

  get revision(): number {
    return this.#revision;
  }

  get databaseRevision(): number {
    return this.#transactions.revision;
  }

  keyOf(row: Row): Key {
    return ensureKey(this.name, this.#def.key(row));
  }

  list(): readonly Row[] {
    return [...this.all()];
  }

  *all(): IterableIterator<Row> {
    for (const entry of this.#rows.values()) yield entry.row;
  }

  longestPrefix(index: string, ip: string): Row | undefined {
    for (const [, key] of this.#indexes.cidr(index).containing(ip)) return this.get(key);
    return undefined;
  }

  transaction<T>(fn: (txn: Txn) => T): T {
    return this.#transactions.run(fn);
  }

  upsert(row: Row): number {
    return this.#transactions.run((txn) => {
      const key = this.keyOf(row);
      this.#put(txn, key, this.#rows.get(key), row);
      return txn.revision;
    });
  }

  upsertMany(rows: Iterable<Row>): number {
    return this.mergeMany(rows, (row) => row);
  }

  mergeMany(rows: Iterable<Row>, merge: (row: Row, current: Row | undefined) => Row | undefined): number {
    return this.#transactions.run((txn) => {
      let revision = this.#transactions.revision;
      for (const row of rows) {
        const key = this.keyOf(row);
        const before = this.#rows.get(key);
        const merged = merge(row, before?.row);
        if (merged === undefined) continue;
        if (merged !== row) this.#ensureKey(key, merged);
        this.#put(txn, key, before, merged);
        revision = txn.revision;
      }
      return revision;
    });
  }

  delete(key: Key): Row | undefined {
    return this.#transactions.run((txn) => this.#remove(txn, key));
  }

  deleteMany(keys: Iterable<Key>): readonly Row[] {
    return this.#transactions.run((txn) => {
      const deleted: Row[] = [];
      for (const key of keys) {
        const row = this.#remove(txn, key);
        if (row !== undefined) deleted.push(row);
      }
      return deleted;
    });
  }

  compareAndSwap(row: Row, expectedRevision: number): number {
    return this.#transactions.run((txn) => {
      const key = this.keyOf(row);
      const before = this.#rows.get(key);
      const actual = before?.revision ?? 0;
      if (actual !== expectedRevision) {
        throw new RevisionMismatchError(this.name, key, expectedRevision, actual);
      }
      this.#put(txn, key, before, row);
      return txn.revision;
    });
  }

  snapshot(): TableSnapshot<Row, Key> {
    const newest = this.#overlay?.deref();
    let overlay = newest;
    if (!overlay || overlay.before.size > 0) {
      overlay = new Overlay(newest?.readers);
      if (newest) newest.next = overlay;
      this.#overlay = new WeakRef(overlay);
    }
    return new Snapshot(this.#live, overlay, this.size, this.#revision);
  }

  changes(): Observable<Change<Row, Key>> {
    return this.#streams.changes();
  }

  changeBatches(): Observable<readonly Change<Row, Key>[]> {
    return this.#streams.batches();
  }

  changeCursor(): ChangeCursor<Row, Key> {
    return this.#history.openAtStart();
  }

  changesFrom(revision: number): ChangeCursor<Row, Key> {
    if (!Number.isSafeInteger(revision) || revision < 0) {
      throw new InvalidDefinitionError(`table ${this.name}: ${revision} is not a revision`);
    }
    return revision === 0 ? this.#history.openAtStart() : this.#history.openAfter(revision);
  }

  get initialized(): boolean {
    return this.#initializers.done;
  }

  whenInitialized(signal?: AbortSignal): Promise<void> {
    return this.#initializers.wait(signal);
  }

  registerInitializer(name: string): () => void {
    return this.#initializers.register(name);
  }

  restore(key: Key, before: Entry<Row, Key> | undefined): void {
    this.#swap(key, this.#rows.get(key), before);
  }

  settle(
    key: Key,
    before: Entry<Row, Key> | undefined,
    written: Entry<Row, Key> | undefined,
    stamp: Stamp,
  ): void {
    // A version without a place in history is this transaction's own: the key's first write has told of it.
    if (before?.seq === 0) return;
    const after = this.#retraced ? this.#rows.get(key) : written;
    if (after === before || (after && after.seq > 0)) return;
    const newest = this.#history.record(before, after, stamp);
    if (!newest) return;
    this.#changed = true;
    if (this.#streams.active) this.#changes.push(changeOf(newest));
  }

  commit(revision: number): (() => void) | undefined {
    this.#retraced = false;
    if (!this.#changed) return undefined;
    const changes = this.#changes;
    this.#changed = false;
    this.#changes = [];
    this.#revision = revision;
    const seq = this.#history.lastSeq;
    return () => {
      this.#history.committed();
      if (changes.length > 0) this.#streams.deliver(changes, seq);
    };
  }

  protected entry(key: Key): Entry<Row, Key> | undefined {
    return this.#rows.get(key);
  }

  protected *exact(index: string, value: IndexValue): Iterable<Row> {
    for (const key of this.#indexes.exact(index, value)) yield this.get(key)!;
  }

  protected *walk(walk: Walk): Iterable<Row> {
    for (const [, key] of this.#walkPairs(walk)) yield this.get(key)!;
  }

  #walkPairs(walk: Walk): Iterable<readonly [TableKey, Key]> {
    return walk.index === undefined
      ? walkKeys(this.#order, walk)
      : walkIndex(this.#indexes, walk.index, walk);
  }

  /** What snapshots may see of this table. */
  get #live(): LiveTable<Row, Key> {
    return {
      name: this.name,
      entry: (key) => this.#rows.get(key),
      entries: () => this.#rows.values(),
      exactKeys: (index, value) => this.#indexes.exact(index, value),
      walkPairs: (walk) => this.#walkPairs(walk),
      containingKeys: (index, ip) => this.#indexes.cidr(index).containing(ip),
      freshIndexes: () => this.#indexes.fresh(),
    };
  }

  #ensureKey(key: Key, row: Row): void {
    const actual = this.keyOf(row);
    if (actual === key) return;
    throw new InvalidDefinitionError(
      `table ${this.name}: a merge for ${String(key)} gave a row of ${String(actual)}`,
    );
  }

  #put(txn: ActiveTxn, key: Key, before: Entry<Row, Key> | undefined, row: Row): void {
    this.#indexes.check(key, row);
    this.#write(txn, key, before, new Entry(key, freezeRow(row), txn.stamp, false));
  }

  #remove(txn: ActiveTxn, key: Key): Row | undefined {
    const before = this.#rows.get(key);
    if (before) this.#write(txn, key, before, undefined);
    return before?.row;
  }

  #write(
    txn: ActiveTxn,
    key: Key,
    before: Entry<Row, Key> | undefined,
    after: Entry<Row, Key> | undefined,
  ): void {
    // A deleted key may be written anew, and nothing but the log would tell.
    if (after === undefined || before?.seq === 0) this.#retraced = true;
    txn.record(this, key, before, after);
    this.#swap(key, before, after);
  }

  /** For the snapshots that somebody may still read. */
  #note(key: Key, before: Entry<Row, Key> | undefined): void {
    const overlay = this.#overlay?.deref();
    if (overlay !== undefined && overlay.readers.count > 0) overlay.note(key, before);
    else this.#overlay = undefined;
  }

  #swap(key: Key, before: Entry<Row, Key> | undefined, after: Entry<Row, Key> | undefined): void {
    if (this.#overlay !== undefined) this.#note(key, before);
    this.#indexes.change(key, before?.row, after?.row);
    if (after) this.#rows.set(key, after);
    else this.#rows.delete(key);
    if (!before) this.#order.add(key);
    if (!after) this.#order.remove(key);
  }
}
