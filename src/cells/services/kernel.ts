import type { ReconcilerOps } from "../../table/index.ts";
import type { AddressFilter } from "./address-filter.ts";
import type { NumberedBackend } from "./backend.ts";
import { Garbage } from "./garbage.ts";
import { affinityBackends, hasMaglevTable, inSlots, type ServiceMaps, slotKey } from "./kernel-maps.ts";
import type { ServiceNumbering } from "./numbering.ts";
import { pruneServices } from "./prune.ts";
import { type FrontendRow, frontendRowKey } from "./rows.ts";
import type { BackendState } from "./types.ts";
import { Writes } from "./writes.ts";

/** A frontend as this agent has put it into the kernel. */
interface Installed {
  readonly row: FrontendRow;
  /** False when an operation failed half-way: then everything is written again. */
  readonly exact: boolean;
}

/** What of the numbering the kernel's side needs. */
export type KernelNumbers = Pick<ServiceNumbering, "save" | "changed" | "settled">;

/**
 * Frontends in the kernel's maps, in an order in which no packet meets a half-made one: what is pointed to comes
 * before what points to it (backends, reverse NAT, affinity, tables, slots 1…n, and slot 0 with their number last), and
 * goes after it, when every packet that may still hold a pointer has left (`quiesce`). Before all that, the address
 * filter lets packets through, and after all that it may deny them.
 */
export class KernelFrontends implements ReconcilerOps<FrontendRow> {
  readonly #maps: () => ServiceMaps;
  readonly #quiesce: () => Promise<void>;
  readonly #numbers: KernelNumbers;
  readonly #filter: AddressFilter;
  readonly #installed = new Map<string, Installed>();
  /** What failed half-way, by key: some of it may be in the kernel. */
  readonly #attempts = new Map<string, Set<FrontendRow>>();
  /** Which frontend a reverse-NAT index stands for: it may have passed to another. */
  readonly #indexes = new Map<number, string>();
  /** Backends in the kernel, with the state that they have there. */
  readonly #present = new Map<number, BackendState>();
  /** How many installed or attempted frontends need a backend. */
  readonly #references = new Map<number, number>();
  readonly #garbage: Garbage;

  /**
   * @param maps called when first needed: shared maps are open only after start
   * @param quiesce resolves when every packet that was in a program has left it
   * @param numbers stored before the kernel gets to know them, so that no other life gives them another meaning
   * @param filter lets programs pass by addresses that have no frontend
   */
  constructor(
    maps: () => ServiceMaps,
    quiesce: () => Promise<void>,
    numbers: KernelNumbers,
    filter: AddressFilter,
  ) {
    this.#maps = maps;
    this.#quiesce = quiesce;
    this.#numbers = numbers;
    this.#filter = filter;
    this.#garbage = new Garbage(maps, quiesce);
  }

  /** Whether the backend is in the kernel as it should be. */
  holds({ id, state }: NumberedBackend): boolean {
    return this.#present.get(id) === state;
  }

  async update(rows: readonly FrontendRow[]): Promise<readonly undefined[]> {
    try {
      await this.#numbers.save();
      await this.#open(rows);
      await this.#write(rows);
    } catch (error) {
      for (const row of rows) this.#distrust(row);
      throw error;
    }
    const old = rows.map((row) => this.#install(row));
    rows.forEach((row, index) => {
      for (const before of old[index]!) this.#discard(before, row);
    });
    await this.#garbage.collect();
    return rows.map(() => undefined);
  }

  async delete(rows: readonly FrontendRow[]): Promise<readonly undefined[]> {
    await this.#numbers.save();
    for (const row of rows) this.#uninstall(row);
    await this.#write([]);
    await this.#garbage.collect();
    for (const row of rows) this.#filter.release(frontendRowKey(row));
    await this.#filter.write();
    return rows.map(() => undefined);
  }

  async prune(all: Iterable<FrontendRow>): Promise<{ removed: number }> {
    // What is installed stays until it is updated or deleted: old slots still point to old backends.
    const attempts = [...this.#attempts.values()].flatMap((rows) => [...rows]);
    const keep = [...all, ...Array.from(this.#installed.values(), ({ row }) => row), ...attempts];
    const removed = await pruneServices(this.#maps(), keep, this.#quiesce);
    this.#hold(keep);
    await this.#filter.deny();
    return { removed };
  }

  #hold(rows: readonly FrontendRow[]): void {
    for (const row of rows) this.#filter.hold(frontendRowKey(row), row.ip);
  }

  /** Lets packets look for what is about to be written. */
  async #open(rows: readonly FrontendRow[]): Promise<void> {
    this.#hold(rows);
    await this.#filter.write();
  }

  async #write(rows: readonly FrontendRow[]): Promise<void> {
    const writes = new Writes();
    for (const row of rows) {
      const before = this.#installed.get(frontendRowKey(row));
      for (const backend of row.backends) if (!this.holds(backend)) writes.addBackend(row.family, backend);
      writes.addRow(row, before?.exact === true ? before.row : undefined);
    }
    const changed = [...this.#numbers.changed];
    for (const backend of changed)
      if (this.#present.has(backend.id) && !this.holds(backend)) writes.addBackend(backend.family, backend);
    writes.spare(this.#garbage);
    await writes.perform(this.#maps(), (backends) => {
      for (const [{ id }, state] of backends) this.#present.set(id, state);
    });
    this.#numbers.settled(changed.filter((backend) => !this.#present.has(backend.id) || this.holds(backend)));
  }

  /** Notes what has been written; returns what may be in the kernel of the frontend's old selves. */
  #install(row: FrontendRow): readonly FrontendRow[] {
    const key = frontendRowKey(row);
    const old = this.#selves(key);
    this.#installed.set(key, { row, exact: true });
    this.#indexes.set(row.revNat, key);
    this.#reference(row);
    return old;
  }

  #uninstall(row: FrontendRow): void {
    const key = frontendRowKey(row);
    const old = this.#selves(key);
    this.#installed.delete(key);
    for (const before of old) this.#discard(before, undefined);
    // Of a frontend from before this agent we do not know who shares its backends: prune removes them.
    if (old.length === 0) this.#dropEntries(row, undefined);
  }

  /** Everything that may be in the kernel of a frontend; forgets what was only attempted. */
  #selves(key: string): FrontendRow[] {
    const installed = this.#installed.get(key);
    const attempts = [...(this.#attempts.get(key) ?? [])];
    this.#attempts.delete(key);
    return installed === undefined ? attempts : [installed.row, ...attempts];
  }

  #discard(before: FrontendRow, now: FrontendRow | undefined): void {
    this.#dropEntries(before, now);
    this.#dereference(before);
  }

  /** Entries of a frontend's old self that its present one has no use for. */
  #dropEntries(before: FrontendRow, now: FrontendRow | undefined): void {
    const { family, revNat } = before;
    const first = now === undefined ? 0 : inSlots(now).length + 1;
    for (let slot = first; slot <= inSlots(before).length; slot += 1)
      this.#garbage.addSlot(family, slotKey(before, slot));
    const owner = this.#indexes.get(revNat);
    if (owner !== undefined && owner !== frontendRowKey(before)) return;
    const same = now?.revNat === revNat ? now : undefined;
    const kept = new Set(same === undefined ? [] : affinityBackends(same));
    for (const backend of affinityBackends(before))
      if (!kept.has(backend)) this.#garbage.addMatch({ backendId: backend.id, revNatIndex: revNat });
    if (hasMaglevTable(before) && !(same && hasMaglevTable(same))) this.#garbage.addMaglev(revNat);
    if (same !== undefined) return;
    this.#garbage.addReverseNat(family, revNat);
    this.#indexes.delete(revNat);
  }

  #reference(row: FrontendRow): void {
    for (const { id } of row.backends) this.#references.set(id, (this.#references.get(id) ?? 0) + 1);
  }

  #dereference(row: FrontendRow): void {
    for (const { id } of row.backends) {
      const left = (this.#references.get(id) ?? 1) - 1;
      if (left > 0) {
        this.#references.set(id, left);
        continue;
      }
      this.#references.delete(id);
      this.#present.delete(id);
      this.#garbage.addBackend(row.family, id);
    }
  }

  #distrust(row: FrontendRow): void {
    const key = frontendRowKey(row);
    const installed = this.#installed.get(key);
    if (installed !== undefined) this.#installed.set(key, { ...installed, exact: false });
    const attempts = this.#attempts.get(key) ?? new Set();
    this.#attempts.set(key, attempts);
    if (attempts.has(row)) return;
    attempts.add(row);
    this.#reference(row);
  }
}
