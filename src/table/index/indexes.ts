import { InvalidAddressError, UnknownIndexError } from "../errors.ts";
import type { IndexDef, IndexValue, TableKey } from "../types.ts";
import { CidrIndex } from "./cidr-index.ts";
import { ValueIndex } from "./value-index.ts";

/** The secondary indexes of a table. They know rows by their primary keys alone. */
export class Indexes<Row, Key extends TableKey> {
  readonly #table: string;
  readonly #all: ReadonlyMap<string, ValueIndex<Row, Key> | CidrIndex<Row, Key>>;

  private constructor(table: string, all: ReadonlyMap<string, ValueIndex<Row, Key> | CidrIndex<Row, Key>>) {
    this.#table = table;
    this.#all = all;
  }

  static of<Row, Key extends TableKey>(
    table: string,
    defs: Readonly<Record<string, IndexDef<Row>>>,
  ): Indexes<Row, Key> {
    const all = Object.entries(defs).map(([name, def]) => {
      const index =
        "cidr" in def
          ? new CidrIndex<Row, Key>(table, name, def)
          : new ValueIndex<Row, Key>(table, name, def);
      return [name, index] as const;
    });
    return new Indexes(table, new Map(all));
  }

  /** The same indexes with no rows. */
  fresh(): Indexes<Row, Key> {
    return new Indexes(this.#table, new Map([...this.#all].map(([name, index]) => [name, index.fresh()])));
  }

  /** Throws unless the row may be written. */
  check(key: Key, row: Row): void {
    for (const index of this.#all.values()) index.check(key, row);
  }

  /** Replaces what the indexes know of a row. */
  change(key: Key, before: Row | undefined, after: Row | undefined): void {
    for (const index of this.#all.values()) index.change(key, before, after);
  }

  /** The rows with this value, or network. */
  exact(name: string, value: IndexValue): Iterable<Key> {
    const index = this.#all.get(name);
    if (!index) throw new UnknownIndexError(this.#table, name, "an");
    if (index instanceof ValueIndex) return index.exact(value);
    if (typeof value !== "string") throw new InvalidAddressError(String(value), "it is a number");
    return index.exact(value);
  }

  value(name: string): ValueIndex<Row, Key> {
    const index = this.#all.get(name);
    if (index instanceof ValueIndex) return index;
    throw new UnknownIndexError(this.#table, name, "a value");
  }

  cidr(name: string): CidrIndex<Row, Key> {
    const index = this.#all.get(name);
    if (index instanceof CidrIndex) return index;
    throw new UnknownIndexError(this.#table, name, "a longest-prefix");
  }
}
