import type { Observable } from "rxjs";

/** What may identify a row. Compared by value, as `Map` does. */
export type TableKey = string | number | bigint;

/** What a secondary index may be searched by. Numbers sort before strings; strings sort by code unit. */
export type IndexValue = string | number;

/** An index over values of a row. A row may have none, one or many values in it. */
export interface ValueIndexDef<Row> {
  /** The values under which the row is found. Must depend on the row alone. */
  keys(row: Row): readonly IndexValue[];
  /** When true, no two rows may share a value: the write that would is refused with `UniqueIndexError`. */
  readonly unique?: boolean;
}

/** A longest-prefix-match index over one IPv4 or IPv6 network of a row. */
export interface CidrIndexDef<Row> {
  /**
   * The row's network, such as `10.0.0.0/8`, `fd00::/64`, or an address without a length, which counts as a
   * full-length prefix (RFC 4632, RFC 4291). Host bits are ignored. `undefined` leaves the row out.
   */
  cidr(row: Row): string | undefined;
  /** When true, no two rows may have the same network. */
  readonly unique?: boolean;
}

/** A secondary index: by value, or by longest prefix. */
export type IndexDef<Row> = ValueIndexDef<Row> | CidrIndexDef<Row>;

/** What a table is: its name, its primary key, and how else its rows are found. */
export interface TableDef<Row, Key extends TableKey> {
  /** Unique within its database; appears in errors. */
  readonly name: string;
  /** The primary key. Must depend on the row alone. */
  key(row: Row): Key;
  readonly indexes?: Readonly<Record<string, IndexDef<Row>>>;
}

/** The row was inserted or replaced. */
export interface UpsertChange<Row, Key extends TableKey> {
  readonly kind: "upsert";
  readonly key: Key;
  readonly row: Row;
  /** The database revision at which the row was written. */
  readonly revision: number;
}

/** The row was deleted; `row` is what it last was. */
export interface DeleteChange<Row, Key extends TableKey> {
  readonly kind: "delete";
  readonly key: Key;
  readonly row: Row;
  /** The database revision at which the row was deleted. */
  readonly revision: number;
}

/** The end of the snapshot with which a change stream begins. */
export interface SyncChange {
  readonly kind: "sync";
  /** The table's revision at which the snapshot was taken. */
  readonly revision: number;
}

/** A change to a row. */
export type RowChange<Row, Key extends TableKey> = UpsertChange<Row, Key> | DeleteChange<Row, Key>;

/** An element of a change stream. */
export type Change<Row, Key extends TableKey> = RowChange<Row, Key> | SyncChange;

/**
 * A change that may stand for several: a row written three times since it was last handed out is reported
 * once, as it is now. `since` is the revision of the first of them.
 */
export type CoalescedChange<Row, Key extends TableKey> = RowChange<Row, Key> & { readonly since: number };

/** A row with its version. */
export interface Versioned<Row> {
  readonly row: Row;
  /** The database revision at which the row was written. */
  readonly revision: number;
  /** When the row was written, in milliseconds since the epoch. */
  readonly at: number;
}

/** What can be asked of a table and of a snapshot alike. */
export interface TableReader<Row, Key extends TableKey> {
  readonly name: string;
  /** The number of rows. */
  readonly size: number;
  /** The revision at which this table last changed; 0 when it never did. */
  readonly revision: number;

  /** The row with this key. */
  get(key: Key): Row | undefined;

  /** The row with this key, and when it was written. */
  getWithRevision(key: Key): Versioned<Row> | undefined;

  /** Whether a row with this key exists. */
  has(key: Key): boolean;

  /** All rows, in no particular order. */
  list(): readonly Row[];

  /** All rows, one by one. Do not write to the table while iterating: take a `snapshot()` for that. */
  all(): IterableIterator<Row>;

  /**
   * The rows with this value in the index. For a longest-prefix index the value is a network, matched exactly.
   *
   * @throws UnknownIndexError
   */
  byIndex(index: string, value: IndexValue): readonly Row[];

  /** The rows whose primary key, a string, begins so; sorted by key. */
  prefix(prefix: string): readonly Row[];

  /**
   * The rows with a string value in the index that begins so, sorted by that value, then by key. A row appears once for
   * each value that matches.
   *
   * @throws UnknownIndexError for an unknown or a longest-prefix index
   */
  prefix(index: string, prefix: string): readonly Row[];

  /** The rows whose primary key is at or above this one; sorted by key. */
  lowerBound(from: Key): readonly Row[];

  /**
   * The rows with a value in the index at or above this one, sorted by that value, then by key. A row appears once for
   * each value that matches.
   *
   * @throws UnknownIndexError for an unknown or a longest-prefix index
   */
  lowerBound(index: string, from: IndexValue): readonly Row[];

  /**
   * The row whose network is the longest prefix of the address.
   *
   * @throws UnknownIndexError unless `index` is a longest-prefix index
   * @throws InvalidAddressError when `ip` is not an IPv4 or IPv6 address
   */
  longestPrefix(index: string, ip: string): Row | undefined;
}

/**
 * A table as it was at one moment. Costs nothing to take; reading costs as much more as has changed since. What has
 * changed is remembered until the snapshot is disposed of, or else until the garbage collector finds it.
 */
export interface TableSnapshot<Row, Key extends TableKey> extends TableReader<Row, Key>, Disposable {}

/**
 * A place in a table's history, from which changes are pulled. The table remembers deleted rows until every
 * open cursor has passed them, so close a cursor that is not needed any more.
 */
export interface ChangeCursor<Row, Key extends TableKey> {
  /**
   * Changes not handed out yet, coalesced per key, in revision order.
   *
   * @param limit at most so many; all by default
   * @throws CursorClosedError
   */
  next(limit?: number): CoalescedChange<Row, Key>[];

  /**
   * As `next()`, for who reads ten thousands of changes: the history's own records stand for themselves where they say
   * it all, so that hardly anything is made. Their members are accessors: to be read, not to be spread or compared.
   *
   * @param limit at most so many
   * @throws CursorClosedError
   */
  take(limit: number): CoalescedChange<Row, Key>[];

  /** Whether `next()` would return anything. */
  readonly pending: boolean;

  /** The revision of the row's newest version, or of its deletion, when that is yet to be handed out. */
  awaits(key: Key): number | undefined;

  /**
   * Every change at or below this revision has been handed out. A row that was written again before it was
   * handed out holds the revision back until its newest version is.
   */
  readonly revision: number;

  /**
   * Resolves once `pending` is true; at once if it is already.
   *
   * @param versions wait until so many have been written that are not handed out, be they replaced since; 1 by default
   * @throws the signal's reason when it aborts; CursorClosedError when the cursor is closed
   */
  wait(signal?: AbortSignal, versions?: number): Promise<void>;

  /** Lets go of the history. Safe to repeat. */
  close(): void;

  [Symbol.dispose](): void;
}

/** A table, for those who read it. */
export interface Table<Row, Key extends TableKey> extends TableReader<Row, Key> {
  /** The revision of the database: that of the last transaction that wrote to any of its tables. */
  readonly databaseRevision: number;

  /** The key of a row, as the table's definition says. */
  keyOf(row: Row): Key;

  /** The table as it is now, for reads that must agree with each other although they happen over time. */
  snapshot(): TableSnapshot<Row, Key>;

  /**
   * All rows as upserts, then a sync mark, then every change in revision order as it is committed. Changes
   * are delivered synchronously, after the commit; a subscriber may write to the table.
   */
  changes(): Observable<Change<Row, Key>>;

  /** As `changes()`, one array per transaction; the first holds the snapshot and ends with the sync mark. */
  changeBatches(): Observable<readonly Change<Row, Key>[]>;

  /** A cursor at the beginning: it hands out all rows first. */
  changeCursor(): ChangeCursor<Row, Key>;

  /**
   * A cursor that hands out what changed after the revision.
   *
   * @throws RevisionCompactedError when rows deleted after the revision are forgotten already
   */
  changesFrom(revision: number): ChangeCursor<Row, Key>;

  /** Whether all registered initializers have called back; true when none was registered. */
  readonly initialized: boolean;

  /** Resolves once `initialized` is true. Rejects with the signal's reason when it aborts. */
  whenInitialized(signal?: AbortSignal): Promise<void>;
}

/** A table, for its owner. Each write is a transaction of its own unless it is made inside one. */
export interface RWTable<Row, Key extends TableKey> extends Table<Row, Key> {
  /**
   * Runs writes to this table, and to others of its database, as one transaction.
   *
   * @see Database.transaction
   */
  transaction<T>(fn: (txn: Txn) => T): T;

  /**
   * Inserts or replaces a row. The row is the table's from then on and must not be modified; outside
   * production it is frozen.
   *
   * @returns the revision of the write
   * @throws UniqueIndexError, InvalidAddressError
   */
  upsert(row: Row): number;

  /** Inserts or replaces rows in one transaction; returns its revision, or the current one when there are none. */
  upsertMany(rows: Iterable<Row>): number;

  /**
   * Writes, in one transaction, what `merge` makes of each row and of the one that has its key when its turn comes.
   *
   * @param merge returns a row of the same key, or undefined to leave what there is
   * @returns as `upsertMany`
   * @throws InvalidDefinitionError when `merge` returns a row of another key; UniqueIndexError, InvalidAddressError
   */
  mergeMany(rows: Iterable<Row>, merge: (row: Row, current: Row | undefined) => Row | undefined): number;

  /** Deletes a row; returns what it was, or undefined if there was none. */
  delete(key: Key): Row | undefined;

  /** Deletes rows in one transaction; returns those that existed. */
  deleteMany(keys: Iterable<Key>): readonly Row[];

  /**
   * Writes the row if its current version has this revision; 0 means that it must not exist.
   *
   * @returns the revision of the write
   * @throws RevisionMismatchError, UniqueIndexError, InvalidAddressError
   */
  compareAndSwap(row: Row, expectedRevision: number): number;

  /**
   * Announces a source of rows: the table counts as initialized once every source has called the returned
   * function. Register before anything starts.
   *
   * @throws InitializerError when the name is taken, or the table's initializers have all called back already
   */
  registerInitializer(name: string): () => void;
}

/** A transaction under way. */
export interface Txn {
  /** The revision that everything written in this transaction has. */
  readonly revision: number;
}
