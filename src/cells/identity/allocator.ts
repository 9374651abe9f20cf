import { NEVER, type Observable } from "rxjs";
import type { RWTable } from "../../table/index.ts";
import { failedPrecondition, invalidArgument, notFound, resourceExhausted } from "../errors.ts";
import type { StateCollection } from "../state/types.ts";
import { canonicalLabels, labelViolations } from "./labels.ts";
import { firstIdentity, lastIdentity } from "./range.ts";
import { reservedByLabels, reservedRows } from "./reserved.ts";
import { selectIdentities } from "./select.ts";
import type { Identity, IdentityAllocator, Labels, Renumbering } from "./types.ts";

const cursorKey = "next";

/** What is stored of an identity: its number is the key, and its references are counted anew by each agent. */
export interface StoredIdentity {
  readonly labels: Labels;
}

export interface IdentityStorage {
  readonly identities: StateCollection<StoredIdentity>;
  /** The number to look at next, under the key "next". */
  readonly cursor: StateCollection<number>;
}

/**
 * Numbers for label sets. A number stays with its labels as long as somebody holds it, over restarts of the agent;
 * after that it rests until all other numbers have been used, for tables on other nodes may still mean the old labels.
 */
export class StoredIdentities implements IdentityAllocator {
  readonly table: RWTable<Identity, number>;
  /** One node alone has no reason to. */
  readonly renumbered: Observable<Renumbering> = NEVER;
  readonly #storage: IdentityStorage;
  /** Writes of new identities that are not on disk yet. */
  readonly #storing = new Map<number, Promise<unknown>>();
  #cursor = firstIdentity;

  constructor(table: RWTable<Identity, number>, storage: IdentityStorage) {
    this.table = table;
    this.#storage = storage;
    table.upsertMany(reservedRows());
  }

  /** Brings back what is stored, without references: those who hold identities acquire them again. */
  restore(): void {
    const stored = this.#storage.identities.all().map(({ key, value }) => ({ id: Number(key), ...value }));
    this.table.upsertMany(
      stored.map(({ id, labels }) => ({ id, labels, reserved: undefined, references: 0 })),
    );
    this.#cursor = this.#storage.cursor.get(cursorKey) ?? firstIdentity;
  }

  /**
   * Forgets identities that nobody has acquired, as of endpoints that went while the agent was away.
   *
   * @returns their numbers
   */
  async dropUnreferenced(): Promise<readonly number[]> {
    const unused = this.table
      .list()
      .filter(({ reserved, references }) => reserved === undefined && references === 0);
    this.table.deleteMany(unused.map(({ id }) => id));
    await Promise.all(unused.map(({ id }) => this.#storage.identities.delete(String(id))));
    return unused.map(({ id }) => id);
  }

  /**
   * @throws RefusalError INVALID_ARGUMENT for malformed labels, RESOURCE_EXHAUSTED without free numbers;
   * StateWriteError when the identity cannot be stored
   */
  async acquire(labels: Labels): Promise<Identity> {
    const reserved = reservedByLabels(labels);
    if (reserved !== undefined) return this.#row(reserved);
    const violations = labelViolations(labels, "labels");
    if (violations.length > 0) throw invalidArgument(violations);
    const known = this.byLabels(labels);
    const id = known?.id ?? this.#nextFree();
    if (known === undefined) this.#add(id, labels);
    else this.table.upsert({ ...known, references: known.references + 1 });
    await this.#storing.get(id);
    return this.#row(id);
  }

  /**
   * The number is free at once, also when the error says that its stored copy could not be deleted; that one goes
   * when the agent starts next.
   *
   * @throws RefusalError NOT_FOUND, or FAILED_PRECONDITION when nobody holds it; StateWriteError
   */
  async release(id: number): Promise<void> {
    const row = this.table.get(id);
    if (row === undefined) throw notFound("identity", id);
    if (row.reserved !== undefined) return;
    if (row.references === 0) throw failedPrecondition(`identity ${id} is released more often than acquired`);
    if (row.references > 1) {
      this.table.upsert({ ...row, references: row.references - 1 });
      return;
    }
    this.table.delete(id);
    await this.#storage.identities.delete(String(id));
  }

  byLabels(labels: Labels): Identity | undefined {
    return this.table.byIndex("labels", canonicalLabels(labels))[0];
  }

  select(selector: Labels): readonly Identity[] {
    return selectIdentities(this.table, selector);
  }

  #add(id: number, labels: Labels): void {
    this.table.upsert({ id, labels: { ...labels }, reserved: undefined, references: 1 });
    this.#cursor = id === lastIdentity ? firstIdentity : id + 1;
    // Made in one turn, these two are on disk together or not at all.
    const stored = Promise.all([
      this.#storage.identities.put(String(id), { labels }),
      this.#storage.cursor.put(cursorKey, this.#cursor),
    ]).then(
      () => this.#storing.delete(id),
      (error: unknown) => {
        this.#storing.delete(id);
        this.table.delete(id);
        throw error;
      },
    );
    this.#storing.set(id, stored);
  }

  #nextFree(): number {
    const count = lastIdentity - firstIdentity + 1;
    for (let step = 0; step < count; step += 1) {
      const id = firstIdentity + ((this.#cursor - firstIdentity + step) % count);
      if (!this.table.has(id)) return id;
    }
    throw resourceExhausted(`all ${count} identities are in use`);
  }

  #row(id: number): Identity {
    const row = this.table.get(id);
    if (row === undefined)
      throw failedPrecondition(`identity ${id} was released while it was being acquired`);
    return row;
  }
}
