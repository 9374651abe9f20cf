import { resourceExhausted } from "../errors.ts";
import type { StateCollection } from "../state/index.ts";
import { RotatingNumbers } from "./numbers.ts";
import { backendKey, type ServiceRow } from "./row.ts";
import type { Backend, Service, ServiceProtocol } from "./types.ts";

/** Backend ids have 32 bits, reverse-NAT indexes 16; 0 means none in both. */
const largestBackendId = 0xffff_ffff;
const largestRevNat = 0xffff;

interface BackendNumber {
  readonly id: number;
  /** Services that have the backend. */
  references: number;
}

/** Ids of backends, shared between services and counted, and reverse-NAT indexes, one a service. */
export class ServiceNumbering {
  readonly #cursors: StateCollection<number>;
  readonly #byBackend = new Map<string, BackendNumber>();
  #backendIds = new RotatingNumbers(1, largestBackendId);
  #revNats = new RotatingNumbers(1, largestRevNat);

  /** @param cursors where the next number of each kind is kept, so that a restart does not hand one out again */
  constructor(cursors: StateCollection<number>) {
    this.#cursors = cursors;
  }

  restore(rows: readonly ServiceRow[]): void {
    this.#backendIds = new RotatingNumbers(1, largestBackendId, this.#cursors.get("backend"));
    this.#revNats = new RotatingNumbers(1, largestRevNat, this.#cursors.get("reverse-nat"));
    for (const row of rows) {
      this.#revNats.restore(row.revNat);
      row.backends.forEach((backend, index) => {
        const id = row.backendIds[index];
        const key = backendKey(backend, row.protocol);
        const known = this.#byBackend.get(key);
        if (known !== undefined) known.references += 1;
        else if (id !== undefined) {
          this.#backendIds.restore(id);
          this.#byBackend.set(key, { id, references: 1 });
        }
      });
    }
  }

  /** Distinct backends. */
  get backends(): number {
    return this.#byBackend.size;
  }

  id(backend: Backend, protocol: ServiceProtocol): number | undefined {
    return this.#byBackend.get(backendKey(backend, protocol))?.id;
  }

  /** Backends of the service that have no id yet. */
  newBackends(service: Pick<Service, "backends" | "protocol">): number {
    return service.backends.filter((backend) => this.id(backend, service.protocol) === undefined).length;
  }

  /**
   * The service with numbers; `revNat` is kept when given. Counts a reference to each backend.
   *
   * @throws RefusalError RESOURCE_EXHAUSTED
   */
  assign(service: Omit<Service, "revNat">, revNat: number | undefined): ServiceRow {
    const number = revNat ?? this.#revNats.take();
    if (number === undefined) throw resourceExhausted(`all ${largestRevNat} services are taken`);
    const backendIds = service.backends.map((backend) => this.#reference(backend, service.protocol));
    const { name, ipv4, port, protocol } = service;
    const backends = service.backends.map((backend) => ({ ipv4: backend.ipv4, port: backend.port }));
    return { name, ipv4, port, protocol, backends, revNat: number, backendIds };
  }

  /** Gives the numbers back; the reverse-NAT index only when `keepRevNat` is another. */
  release(row: ServiceRow, keepRevNat?: number): void {
    if (row.revNat !== keepRevNat) this.#revNats.release(row.revNat);
    for (const backend of row.backends) {
      const key = backendKey(backend, row.protocol);
      const known = this.#byBackend.get(key);
      if (known === undefined) continue;
      known.references -= 1;
      if (known.references > 0) continue;
      this.#byBackend.delete(key);
      this.#backendIds.release(known.id);
    }
  }

  /** Stores where to go on; call it in the turn in which the row is stored. */
  async save(): Promise<void> {
    await Promise.all([
      this.#cursors.put("backend", this.#backendIds.next),
      this.#cursors.put("reverse-nat", this.#revNats.next),
    ]);
  }

  #reference(backend: Backend, protocol: ServiceProtocol): number {
    const key = backendKey(backend, protocol);
    const known = this.#byBackend.get(key);
    if (known !== undefined) {
      known.references += 1;
      return known.id;
    }
    const id = this.#backendIds.take();
    if (id === undefined) throw resourceExhausted("all backend ids are taken");
    this.#byBackend.set(key, { id, references: 1 });
    return id;
  }
}
