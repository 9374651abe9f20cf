import { UniqueIndexError } from "../errors.ts";
import type { IndexValue, TableKey, ValueIndexDef } from "../types.ts";
import { KeyMultimap } from "./key-multimap.ts";
import { compareValues, SortedValues } from "./sorted-values.ts";

/** Finds rows by one of their values, and walks them in the order of those values. */
export class ValueIndex<Row, Key extends TableKey> {
  readonly #table: string;
  readonly #name: string;
  readonly #def: ValueIndexDef<Row>;
  readonly #keys = new KeyMultimap<IndexValue, Key>();
  readonly #sorted = new SortedValues<IndexValue>(() => this.#keys.values());

  constructor(table: string, name: string, def: ValueIndexDef<Row>) {
    this.#table = table;
    this.#name = name;
    this.#def = def;
  }

  /** An index with the same definition and no rows. */
  fresh(): ValueIndex<Row, Key> {
    return new ValueIndex(this.#table, this.#name, this.#def);
  }

  /** Throws unless the row may be written. */
  check(key: Key, row: Row): void {
    const values = this.#def.keys(row);
    if (!this.#def.unique) return;
    for (const value of values) {
      for (const holder of this.#keys.get(value)) {
        if (holder !== key) throw new UniqueIndexError(this.#table, this.#name, value, holder, key);
      }
    }
  }

  /** Replaces what the index knows of a row. */
  change(key: Key, before: Row | undefined, after: Row | undefined): void {
    const old = before === undefined ? [] : this.#def.keys(before);
    const now = after === undefined ? [] : this.#def.keys(after);
    if (old.length === now.length && old.every((value, i) => value === now[i])) return;
    for (const value of old) if (this.#keys.remove(value, key)) this.#sorted.remove(value);
    for (const value of now) if (this.#keys.add(value, key)) this.#sorted.add(value);
  }

  exact(value: IndexValue): Iterable<Key> {
    return this.#keys.get(value);
  }

  /** Values at or above this one, with the rows that have them, in order of value, then key. */
  *from(value: IndexValue): IterableIterator<readonly [IndexValue, Key]> {
    for (const found of this.#sorted.from(value)) yield* this.#pairs(found);
  }

  /** Strings that begin so, with the rows that have them, in order of value, then key. */
  *startingWith(prefix: string): IterableIterator<readonly [IndexValue, Key]> {
    for (const found of this.#sorted.startingWith(prefix)) yield* this.#pairs(found);
  }

  *#pairs(value: IndexValue): IterableIterator<readonly [IndexValue, Key]> {
    for (const key of [...this.#keys.get(value)].sort(compareValues)) yield [value, key];
  }
}
