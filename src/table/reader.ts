import type { Entry } from "./entry.ts";
import { InvalidDefinitionError } from "./errors.ts";
import type { IndexValue, TableKey, TableReader, Versioned } from "./types.ts";

/** A walk in order: through primary keys, or through the values of an index. */
export interface Walk {
  /** The value index; the primary key when undefined. */
  readonly index: string | undefined;
  /** Where to begin. */
  readonly from: TableKey;
  /** Whether to go on only while strings begin with `from`. */
  readonly prefix: boolean;
}

/** The questions of `TableReader`, answered from a few primitives that tables and snapshots implement. */
export abstract class Reader<Row, Key extends TableKey> implements TableReader<Row, Key> {
  abstract readonly name: string;
  abstract readonly size: number;
  abstract readonly revision: number;

  abstract list(): readonly Row[];
  abstract all(): IterableIterator<Row>;
  abstract longestPrefix(index: string, ip: string): Row | undefined;

  protected abstract entry(key: Key): Entry<Row, Key> | undefined;
  protected abstract exact(index: string, value: IndexValue): Iterable<Row>;
  protected abstract walk(walk: Walk): Iterable<Row>;

  get(key: Key): Row | undefined {
    return this.entry(key)?.row;
  }

  getWithRevision(key: Key): Versioned<Row> | undefined {
    const entry = this.entry(key);
    return entry && { row: entry.row, revision: entry.revision, at: entry.at };
  }

  has(key: Key): boolean {
    return this.entry(key) !== undefined;
  }

  byIndex(index: string, value: IndexValue): readonly Row[] {
    return [...this.exact(index, value)];
  }

  prefix(...args: [prefix: string] | [index: string, prefix: string]): readonly Row[] {
    const [index, from] = args.length === 1 ? [undefined, args[0]] : args;
    return [...this.walk({ index, from: ensureKey(this.name, from), prefix: true })];
  }

  lowerBound(...args: [from: Key] | [index: string, from: IndexValue]): readonly Row[] {
    const [index, from] = args.length === 1 ? [undefined, args[0]] : args;
    return [...this.walk({ index, from: ensureKey(this.name, from), prefix: false })];
  }
}

/** Returns the key, if it can be one. */
export function ensureKey<Key extends TableKey>(table: string, key: Key): Key {
  const type = typeof key;
  if (type === "string" || type === "bigint" || (type === "number" && !Number.isNaN(key))) return key;
  throw new InvalidDefinitionError(`table ${table}: ${String(key)} is not a string, number or bigint`);
}
