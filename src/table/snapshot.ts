import type { Entry } from "./entry.ts";
import type { Indexes } from "./index/indexes.ts";
import { compareValues, SortedValues } from "./index/sorted-values.ts";
import { Reader, type Walk } from "./reader.ts";
import type { IndexValue, TableKey, TableSnapshot } from "./types.ts";

/**
 * What rows were before they changed, from one snapshot to the next. A snapshot holds on to its own and all
 * later ones, a table (weakly) to the newest alone: so a write costs the same however many snapshots there
 * are, and an overlay that no snapshot needs any more is garbage.
 */
export class Overlay<Row, Key extends TableKey> {
  readonly before = new Map<Key, Entry<Row, Key> | undefined>();
  next: Overlay<Row, Key> | undefined;
  /** Shared by all overlays that follow each other: how many of their snapshots have not been disposed of. */
  readonly readers: { count: number };

  constructor(readers: { count: number } = { count: 0 }) {
    this.readers = readers;
  }

  note(key: Key, entry: Entry<Row, Key> | undefined): void {
    if (!this.before.has(key)) this.before.set(key, entry);
  }
}

/** What a snapshot asks its table, as the table is now. */
export interface LiveTable<Row, Key extends TableKey> {
  readonly name: string;
  entry(key: Key): Entry<Row, Key> | undefined;
  entries(): Iterable<Entry<Row, Key>>;
  exactKeys(index: string, value: IndexValue): Iterable<Key>;
  walkPairs(walk: Walk): Iterable<readonly [TableKey, Key]>;
  containingKeys(index: string, ip: string): Iterable<readonly [number, Key]>;
  freshIndexes(): Indexes<Row, Key>;
}

/** The table as it is now, with what has changed since the snapshot laid over it. */
export class Snapshot<Row, Key extends TableKey> extends Reader<Row, Key> implements TableSnapshot<Row, Key> {
  readonly name: string;
  readonly size: number;
  readonly revision: number;
  readonly #live: LiveTable<Row, Key>;
  readonly #overlay: Overlay<Row, Key>;
  #disposed = false;

  constructor(live: LiveTable<Row, Key>, overlay: Overlay<Row, Key>, size: number, revision: number) {
    super();
    this.name = live.name;
    this.#live = live;
    this.#overlay = overlay;
    this.size = size;
    this.revision = revision;
    overlay.readers.count++;
  }

  [Symbol.dispose](): void {
    if (!this.#disposed) this.#overlay.readers.count--;
    this.#disposed = true;
  }

  list(): readonly Row[] {
    const changed = this.#changed();
    const rows: Row[] = [];
    for (const entry of this.#live.entries()) if (!changed.has(entry.key)) rows.push(entry.row);
    for (const before of changed.values()) if (before) rows.push(before.row);
    return rows;
  }

  /** A copy is walked, for the table may change between two steps. */
  all(): IterableIterator<Row> {
    return this.list().values();
  }

  longestPrefix(index: string, ip: string): Row | undefined {
    const changed = this.#changed();
    const [oldLength, oldKey] = first(this.#indexesOf(changed).cidr(index).containing(ip)) ?? [-1];
    for (const [length, key] of this.#live.containingKeys(index, ip)) {
      if (length < oldLength) break;
      if (!changed.has(key)) return this.get(key);
    }
    return oldKey === undefined ? undefined : this.get(oldKey);
  }

  protected entry(key: Key): Entry<Row, Key> | undefined {
    for (let overlay: Overlay<Row, Key> | undefined = this.#overlay; overlay; overlay = overlay.next) {
      if (overlay.before.has(key)) return overlay.before.get(key);
    }
    return this.#live.entry(key);
  }

  protected *exact(index: string, value: IndexValue): Iterable<Row> {
    const changed = this.#changed();
    for (const key of this.#live.exactKeys(index, value)) if (!changed.has(key)) yield this.get(key)!;
    for (const key of this.#indexesOf(changed).exact(index, value)) yield this.get(key)!;
  }

  protected walk(walk: Walk): Iterable<Row> {
    const changed = this.#changed();
    const pairs: (readonly [TableKey, Key])[] = [];
    for (const pair of this.#live.walkPairs(walk)) if (!changed.has(pair[1])) pairs.push(pair);
    pairs.push(...this.#walkChanged(walk, changed));
    pairs.sort((a, b) => compareValues(a[0], b[0]) || compareValues(a[1], b[1]));
    return pairs.map(([, key]) => this.get(key)!);
  }

  #walkChanged(walk: Walk, changed: Changed<Row, Key>): Iterable<readonly [TableKey, Key]> {
    if (walk.index === undefined) {
      const keys = [...changed].filter(([, before]) => before).map(([key]) => key);
      return walkKeys(new SortedValues(() => keys), walk);
    }
    return walkIndex(this.#indexesOf(changed), walk.index, walk);
  }

  /** What each row that changed since the snapshot was then. */
  #changed(): Changed<Row, Key> {
    if (!this.#overlay.next) return this.#overlay.before;
    const changed = new Map<Key, Entry<Row, Key> | undefined>();
    for (let overlay: Overlay<Row, Key> | undefined = this.#overlay; overlay; overlay = overlay.next) {
      for (const [key, before] of overlay.before) if (!changed.has(key)) changed.set(key, before);
    }
    return changed;
  }

  #indexesOf(changed: Changed<Row, Key>): Indexes<Row, Key> {
    const indexes = this.#live.freshIndexes();
    for (const [key, before] of changed) if (before) indexes.change(key, undefined, before.row);
    return indexes;
  }
}

type Changed<Row, Key extends TableKey> = ReadonlyMap<Key, Entry<Row, Key> | undefined>;

/** Walks primary keys in order, each paired with itself. */
export function* walkKeys<Key extends TableKey>(
  sorted: SortedValues<Key>,
  walk: Walk,
): IterableIterator<readonly [Key, Key]> {
  const keys = walk.prefix ? sorted.startingWith(walk.from as string) : sorted.from(walk.from);
  for (const key of keys) yield [key, key];
}

/** Walks the values of an index in order, each with the key of a row that has it. */
export function walkIndex<Row, Key extends TableKey>(
  indexes: Indexes<Row, Key>,
  name: string,
  walk: Walk,
): Iterable<readonly [IndexValue, Key]> {
  const index = indexes.value(name);
  return walk.prefix ? index.startingWith(walk.from as string) : index.from(walk.from as IndexValue);
}

function first<T>(values: Iterable<T>): T | undefined {
  for (const value of values) return value;
  return undefined;
}
