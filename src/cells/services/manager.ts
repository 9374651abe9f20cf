import type { Reconciler, RWTable } from "../../table/index.ts";
import { notFound, RefusalError, resourceExhausted } from "../errors.ts";
import type { StateCollection } from "../state/index.ts";
import { KeyedLock } from "./keyed-lock.ts";
import { ServiceNumbering } from "./numbering.ts";
import { frontendKey, type ServiceRow, type StoredService } from "./row.ts";
import type { Backend, Service, ServiceManager, ServiceProtocol } from "./types.ts";
import { checkService } from "./validate.ts";

/** Entries that the kernel's maps have room for. */
export interface ServiceCapacity {
  /** Frontends and slots together. */
  readonly slots: number;
  readonly backends: number;
  readonly reverseNat: number;
}

export interface ServiceParts {
  readonly table: RWTable<ServiceRow, string>;
  readonly reconciler: Reconciler<ServiceRow, string>;
  readonly storage: StateCollection<StoredService>;
  readonly cursors: StateCollection<number>;
  capacity(): ServiceCapacity;
}

/** Services: stored first, then in the table, which the reconciler brings to the kernel. */
export class StoredServices implements ServiceManager {
  readonly table: RWTable<ServiceRow, string>;
  readonly #parts: ServiceParts;
  readonly #numbering: ServiceNumbering;
  readonly #names = new KeyedLock();
  /** Frontends of services in the table and of those being stored. */
  readonly #frontends = new Map<string, string>();
  /** Frontends and slots of all services, those being stored included. */
  #slots = 0;

  constructor(parts: ServiceParts) {
    this.table = parts.table;
    this.#parts = parts;
    this.#numbering = new ServiceNumbering(parts.cursors);
  }

  /** Brings back what is stored. */
  restore(): void {
    const rows = this.#parts.storage.all().map(({ key, value }) => ({ name: key, ...value }));
    this.#numbering.restore(rows);
    for (const row of rows) {
      this.#frontends.set(frontendKey(row), row.name);
      this.#slots += slotsOf(row);
    }
    this.table.upsertMany(rows);
  }

  async upsert(service: Omit<Service, "revNat">, signal?: AbortSignal): Promise<Service> {
    checkService(service);
    const { row, revision } = await this.#names.run(service.name, () => this.#store(service));
    await this.#parts.reconciler.waitReconciled(revision, signal, [row.name]);
    return row;
  }

  async delete(name: string, signal?: AbortSignal): Promise<void> {
    await this.#names.run(name, async () => {
      const row = this.table.get(name);
      if (row === undefined) throw notFound("service", name);
      await this.#parts.storage.delete(name);
      this.table.delete(name);
      this.#frontends.delete(frontendKey(row));
      this.#forget(row);
    });
    await this.#parts.reconciler.waitReconciled(this.table.revision, signal, [name]);
  }

  backendId(backend: Backend, protocol: ServiceProtocol): number | undefined {
    return this.#numbering.id(backend, protocol);
  }

  async #store(service: Omit<Service, "revNat">): Promise<{ row: ServiceRow; revision: number }> {
    const old = this.table.get(service.name);
    this.#checkRoom(service, old);
    const frontend = frontendKey(service);
    const oldFrontend = old === undefined ? undefined : frontendKey(old);
    this.#claim(frontend, service.name);
    // Replies of connections to the old frontend must not come from the new one, so it gets an index of its own.
    const revNat = frontend === oldFrontend ? old?.revNat : undefined;
    let row: ServiceRow | undefined;
    try {
      row = this.#numbering.assign(service, revNat);
      this.#slots += slotsOf(row);
      const { name, ...stored } = row;
      await Promise.all([this.#parts.storage.put(name, stored), this.#numbering.save()]);
    } catch (error) {
      if (row !== undefined) this.#forget(row, revNat);
      if (frontend !== oldFrontend) this.#frontends.delete(frontend);
      throw error;
    }
    const revision = this.table.upsert(row);
    if (old !== undefined) this.#forget(old, row.revNat);
    if (oldFrontend !== undefined && oldFrontend !== frontend) this.#frontends.delete(oldFrontend);
    return { row, revision };
  }

  #claim(frontend: string, name: string): void {
    const holder = this.#frontends.get(frontend);
    if (holder !== undefined && holder !== name) {
      throw new RefusalError(
        "ALREADY_EXISTS",
        `frontend ${frontend} belongs to service ${JSON.stringify(holder)}`,
      );
    }
    this.#frontends.set(frontend, name);
  }

  #forget(row: ServiceRow, keepRevNat?: number): void {
    this.#numbering.release(row, keepRevNat);
    this.#slots -= slotsOf(row);
  }

  #checkRoom(service: Omit<Service, "revNat">, old: ServiceRow | undefined): void {
    const { slots, backends, reverseNat } = this.#parts.capacity();
    const wantedSlots = this.#slots - (old === undefined ? 0 : slotsOf(old)) + slotsOf(service);
    const check = (wanted: number, room: number, map: string): void => {
      if (wanted <= room) return;
      throw resourceExhausted(
        `service ${JSON.stringify(service.name)} does not fit: ${map} has room for ${room} entries and would need ${wanted}`,
      );
    };
    check(wantedSlots, slots, "cilium_lb4_services_v2");
    check(
      this.#numbering.backends + this.#numbering.newBackends(service),
      backends,
      "cilium_lb4_backends_v2",
    );
    check(this.#frontends.size + (old === undefined ? 1 : 0), reverseNat, "cilium_lb4_reverse_nat");
  }
}

/** The frontend and a slot for each backend. */
const slotsOf = (service: Pick<Service, "backends">): number => 1 + service.backends.length;
