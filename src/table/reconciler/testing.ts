// What the tests of this folder share. Nothing else imports it.
import { setImmediate as turn } from "node:timers/promises";
import { Database, Reconciler, type ReconcilerOps, type ReconcilerOptions } from "../index.ts";

/** What the rows of these tests are. */
export interface Item {
  readonly id: string;
  readonly v: number;
}

/** A row. */
export const item = (id: string, v = 0): Item => ({ id, v });

/** Something to reconcile with, whose operations fail on demand. */
export class World implements ReconcilerOps<Item> {
  readonly state = new Map<string, number>();
  readonly calls: string[] = [];
  /** Rows that fail, with what they fail with. */
  readonly bad = new Map<string, Error>();
  /** Rows that make the whole call fail. */
  readonly poison = new Set<string>();
  pruneError: Error | undefined;
  /** Called before each operation; may delay it. */
  before: (operation: string, rows: readonly Item[]) => void | Promise<void> = () => undefined;

  async update(rows: readonly Item[]) {
    return await this.#perform("update", rows, (row) => this.state.set(row.id, row.v));
  }

  async delete(rows: readonly Item[]) {
    return await this.#perform("delete", rows, (row) => this.state.delete(row.id));
  }

  async prune(all: Iterable<Item>) {
    await this.before("prune", []);
    this.calls.push("prune");
    if (this.pruneError) throw this.pruneError;
    const wanted = new Set([...all].map((row) => row.id));
    const gone = [...this.state.keys()].filter((id) => !wanted.has(id));
    for (const id of gone) this.state.delete(id);
    return { removed: gone.length };
  }

  async #perform(operation: string, rows: readonly Item[], apply: (row: Item) => void) {
    await this.before(operation, rows);
    this.calls.push(`${operation} ${rows.map((row) => row.id).join(",")}`);
    if (rows.some((row) => this.poison.has(row.id))) throw new Error("poisoned");
    return rows.map((row) => {
      const error = this.bad.get(row.id);
      if (!error) apply(row);
      return error;
    });
  }
}

type Extra = Partial<Omit<ReconcilerOptions<Item, string>, "name" | "table" | "ops">>;

/** A reconciler of a table and a world. */
export function build(options: Extra = {}) {
  const db = new Database();
  const table = db.createTable({ name: "items", key: (row: Item) => row.id });
  const other = db.createTable({ name: "other", key: (row: Item) => row.id });
  const world = new World();
  const reconciler = new Reconciler({ name: "items", table, ops: world, retryMinMs: 2, ...options });
  return { db, table, other, world, reconciler };
}

/** Returns once the condition holds; the test's deadline bounds it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}
