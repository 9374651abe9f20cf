import { InvalidDefinitionError } from "./errors.ts";
import { MemoryTable } from "./memory-table.ts";
import { Transactions } from "./transactions.ts";
import type { RWTable, TableDef, TableKey, Txn } from "./types.ts";

/**
 * Tables that share transactions and revisions, in memory.
 *
 * @example
 * const db = new Database();
 * const nodes = db.createTable({ name: 'nodes', key: (node: { name: string; ip: string }) => node.name });
 * const revision = nodes.upsert({ name: 'a', ip: '10.0.0.1' });
 */
export class Database {
  readonly #transactions = new Transactions();
  readonly #tables = new Set<string>();

  /** The revision of the last transaction that wrote anything; 0 at first. Each such transaction adds one. */
  get revision(): number {
    return this.#transactions.revision;
  }

  /**
   * Makes a table.
   *
   * @throws InvalidDefinitionError when the name is empty or taken
   */
  createTable<Row, Key extends TableKey>(def: TableDef<Row, Key>): RWTable<Row, Key> {
    if (def.name === "") throw new InvalidDefinitionError("a table must have a name");
    if (this.#tables.has(def.name)) throw new InvalidDefinitionError(`table ${def.name} exists already`);
    this.#tables.add(def.name);
    return new MemoryTable(def, this.#transactions);
  }

  /**
   * Runs a function whose writes, to any of the database's tables, take effect together: with one revision,
   * and told to observers after all are done. If the function throws, none of them happened. Inside, reads
   * see what has been written; a transaction inside a transaction joins it, but rolls back by itself when the
   * error is caught outside it.
   *
   * @param fn must be synchronous
   * @throws TransactionError when `fn` returns a promise; whatever `fn` throws
   */
  transaction<T>(fn: (txn: Txn) => T): T {
    return this.#transactions.run(fn);
  }
}
