import type { Lb4Backend, Lb4Key, Lb4ReverseNat, Lb4Service } from "../../datapath/maps/index.ts";
import type { ReconcilerOps } from "../../table/index.ts";
import { Garbage } from "./garbage.ts";
import { backendValue, frontendValue, type ServiceMaps, slotKey, slotValue } from "./kernel-maps.ts";
import { pruneServices } from "./prune.ts";
import { frontendKey, type ServiceRow } from "./row.ts";

/** A service as this agent has put it into the kernel. */
interface Installed {
  readonly row: ServiceRow;
  /** False when an operation failed half-way: then everything is written again. */
  readonly exact: boolean;
}

/**
 * Services in the kernel's three maps, in an order in which no packet meets a half-made service: what is pointed to
 * comes before what points to it (backends, reverse NAT, slots 1…n, and slot 0 with their number last), and goes
 * after it, when every packet that may still hold a pointer has left (`quiesce`).
 */
export class KernelServices implements ReconcilerOps<ServiceRow> {
  readonly #maps: () => ServiceMaps;
  readonly #installed = new Map<string, Installed>();
  /** Which service has a frontend: one may have taken over another's. */
  readonly #frontends = new Map<string, string>();
  /** What failed half-way, by name: some of it may be in the kernel. */
  readonly #attempts = new Map<string, Set<ServiceRow>>();
  /** Backends in the kernel. */
  readonly #present = new Set<number>();
  /** How many installed or attempted services point to a backend. */
  readonly #references = new Map<number, number>();
  readonly #garbage: Garbage;

  /**
   * @param maps called when first needed: shared maps are open only after start
   * @param quiesce resolves when every packet that was in a program has left it
   */
  constructor(maps: () => ServiceMaps, quiesce: () => Promise<void>) {
    this.#maps = maps;
    this.#garbage = new Garbage(maps, quiesce);
  }

  async update(rows: readonly ServiceRow[]): Promise<readonly undefined[]> {
    try {
      await this.#write(rows);
    } catch (error) {
      for (const row of rows) this.#distrust(row);
      throw error;
    }
    this.#install(rows);
    await this.#garbage.collect();
    return rows.map(() => undefined);
  }

  async delete(rows: readonly ServiceRow[]): Promise<readonly undefined[]> {
    for (const row of rows) this.#uninstall(this.#installed.get(row.name)?.row ?? row);
    await this.#garbage.collect();
    return rows.map(() => undefined);
  }

  async prune(all: Iterable<ServiceRow>): Promise<{ removed: number }> {
    // What is installed stays until it is updated or deleted: old slots still point to old backends.
    const attempts = [...this.#attempts.values()].flatMap((rows) => [...rows]);
    const keep = [...all, ...Array.from(this.#installed.values(), ({ row }) => row), ...attempts];
    return { removed: await pruneServices(this.#maps(), keep, this.#garbage.quiesce) };
  }

  async #write(rows: readonly ServiceRow[]): Promise<void> {
    const backends = new Map<number, Lb4Backend>();
    const reverseNat: [number, Lb4ReverseNat][] = [];
    const slots: [Lb4Key, Lb4Service][] = [];
    const frontends: [Lb4Key, Lb4Service][] = [];
    for (const row of rows) {
      const before = this.#installed.get(row.name);
      const same =
        before?.exact === true && frontendKey(before.row) === frontendKey(row) ? before.row : undefined;
      const sameNat = same?.revNat === row.revNat;
      row.backendIds.forEach((id, index) => {
        const backend = row.backends[index];
        if (backend !== undefined && !this.#present.has(id))
          backends.set(id, backendValue(backend, row.protocol));
        if (sameNat && same?.backendIds[index] === id) return;
        slots.push([slotKey(row, index + 1), slotValue(id, row.revNat)]);
      });
      if (!sameNat) reverseNat.push([row.revNat, { address: row.ipv4, port: row.port }]);
      if (sameNat && same?.backendIds.length === row.backendIds.length) continue;
      frontends.push([slotKey(row, 0), frontendValue(row.backendIds.length, row.revNat)]);
    }
    const maps = this.#maps();
    this.#garbage.spare({
      backends: [...backends.keys()],
      reverseNat: reverseNat.map(([index]) => index),
      slots: [...slots, ...frontends].map(([key]) => key),
    });
    await maps.backends.updateBatch([...backends]);
    for (const id of backends.keys()) this.#present.add(id);
    await maps.reverseNat.updateBatch(reverseNat);
    await maps.services.updateBatch(slots);
    await maps.services.updateBatch(frontends);
  }

  /** Notes what has been written, and what of the services' old selves is not needed any more. */
  #install(rows: readonly ServiceRow[]): void {
    const old: ServiceRow[] = [];
    for (const row of rows) {
      old.push(...this.#selves(row.name));
      this.#installed.set(row.name, { row, exact: true });
      this.#reference(row);
    }
    // Frontends that were left must be free before they count as taken over by another service of these rows.
    for (const before of old) this.#leave(before);
    for (const row of rows) this.#frontends.set(frontendKey(row), row.name);
    for (const before of old) this.#discard(before);
  }

  #uninstall(row: ServiceRow): void {
    const old = this.#selves(row.name);
    this.#installed.delete(row.name);
    for (const before of old) this.#leave(before);
    for (const before of old) this.#discard(before);
    // Of a service from before this agent we do not know who shares its backends: prune removes them.
    if (old.length === 0) this.#dropSlots(row);
    this.#dropReverseNat(row);
  }

  /** Everything that may be in the kernel of a service; forgets what was only attempted. */
  #selves(name: string): ServiceRow[] {
    const installed = this.#installed.get(name);
    const attempts = [...(this.#attempts.get(name) ?? [])];
    this.#attempts.delete(name);
    return installed === undefined ? attempts : [installed.row, ...attempts];
  }

  #discard(row: ServiceRow): void {
    this.#dropSlots(row);
    this.#dropReverseNat(row);
    this.#dereference(row);
  }

  #dropReverseNat({ name, revNat }: ServiceRow): void {
    if (this.#installed.get(name)?.row.revNat !== revNat) this.#garbage.addReverseNat(revNat);
  }

  #leave(row: ServiceRow): void {
    const frontend = frontendKey(row);
    if (this.#frontends.get(frontend) === row.name) this.#frontends.delete(frontend);
  }

  /** Slots of the service's frontend beyond those of the service that has the frontend now. */
  #dropSlots(row: ServiceRow): void {
    const owner = this.#frontends.get(frontendKey(row));
    const owned = owner === undefined ? undefined : this.#installed.get(owner)?.row;
    const first = owned === undefined ? 0 : owned.backendIds.length + 1;
    for (let slot = first; slot <= row.backendIds.length; slot += 1)
      this.#garbage.addSlot(slotKey(row, slot));
  }

  #reference(row: ServiceRow): void {
    for (const id of row.backendIds) this.#references.set(id, (this.#references.get(id) ?? 0) + 1);
  }

  #dereference(row: ServiceRow): void {
    for (const id of row.backendIds) {
      const left = (this.#references.get(id) ?? 1) - 1;
      if (left > 0) {
        this.#references.set(id, left);
        continue;
      }
      this.#references.delete(id);
      this.#present.delete(id);
      this.#garbage.addBackend(id);
    }
  }

  #distrust(row: ServiceRow): void {
    const installed = this.#installed.get(row.name);
    if (installed !== undefined) this.#installed.set(row.name, { ...installed, exact: false });
    const attempts = this.#attempts.get(row.name) ?? new Set();
    this.#attempts.set(row.name, attempts);
    if (attempts.has(row)) return;
    attempts.add(row);
    this.#reference(row);
  }
}
