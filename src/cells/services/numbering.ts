import { resourceExhausted } from "../errors.ts";
import type { StateCollection } from "../state/index.ts";
import { NumberedBackend } from "./backend.ts";
import { addressKey, type Family } from "./keys.ts";
import { RotatingNumbers } from "./numbers.ts";
import type { Backend, IpPort, ServiceProtocol } from "./types.ts";

/** Backend ids have 32 bits, reverse-NAT indexes 16; 0 means none in both. */
const largestBackendId = 0xffff_ffff;
const largestRevNat = 0xffff;

/** What is stored of a service's numbers, by the keys of its frontends and backends. */
export interface StoredNumbers {
  readonly revNats: Readonly<Record<string, number>>;
  readonly backends: Readonly<Record<string, number>>;
}

/** The numbers of one service. */
interface Held {
  readonly revNats: ReadonlyMap<string, number>;
  readonly backends: readonly NumberedBackend[];
}

const nothing: Held = { revNats: new Map(), backends: [] };

/**
 * This node's numbers: ids of backends, which services share, and reverse-NAT indexes, one a frontend. They mean
 * nothing on other nodes, and survive a restart, for conntrack entries in the kernel go on meaning them.
 */
export class ServiceNumbering {
  readonly #stored: StateCollection<StoredNumbers>;
  readonly #cursors: StateCollection<number>;
  readonly #held = new Map<string, Held>();
  readonly #byKey = new Map<string, NumberedBackend>();
  readonly #byId = new Map<number, NumberedBackend>();
  readonly #counts: Record<Family, number> = { 4: 0, 6: 0 };
  readonly #changed = new Set<NumberedBackend>();
  /** Services whose numbers have changed since they were stored. */
  #unsaved = new Set<string>();
  #backendIds = new RotatingNumbers(1, largestBackendId);
  #revNats = new RotatingNumbers(1, largestRevNat);

  /** @param cursors where the next number of each kind is kept, so that a restart does not hand one out again */
  constructor(stored: StateCollection<StoredNumbers>, cursors: StateCollection<number>) {
    this.#stored = stored;
    this.#cursors = cursors;
  }

  /** Takes back the numbers of an earlier life; returns the services that had some. */
  restore(): readonly string[] {
    this.#backendIds = new RotatingNumbers(1, largestBackendId, this.#cursors.get("backend"));
    this.#revNats = new RotatingNumbers(1, largestRevNat, this.#cursors.get("reverse-nat"));
    const all = this.#stored.all();
    for (const { key: name, value } of all) {
      const revNats = new Map(Object.entries(value.revNats));
      for (const number of revNats.values()) this.#revNats.restore(number);
      const backends = Object.entries(value.backends).map(([key, id]) => this.#restoreBackend(key, id));
      // What state it was in, the service will say; until then any other service's word counts for more.
      for (const backend of backends) backend.join(name, "terminating");
      this.#held.set(name, { revNats, backends });
    }
    return all.map(({ key }) => key);
  }

  /** Distinct backends of a family. */
  backends(family: Family): number {
    return this.#counts[family];
  }

  backend(at: IpPort, protocol: ServiceProtocol): NumberedBackend | undefined {
    return this.#byKey.get(addressKey(at, protocol));
  }

  backendById(id: number): NumberedBackend | undefined {
    return this.#byId.get(id);
  }

  /** Backends that another state has come to prevail of, until `settled` is told of them. */
  get changed(): ReadonlySet<NumberedBackend> {
    return this.#changed;
  }

  settled(backends: Iterable<NumberedBackend>): void {
    for (const backend of backends) this.#changed.delete(backend);
  }

  /**
   * Gives a service numbers for exactly these frontends and backends; what it had and is not among them goes back. A
   * frontend for which no number is left is missing in `revNats`.
   */
  assign(
    name: string,
    frontends: readonly string[],
    backends: readonly Backend[],
    protocol: ServiceProtocol,
  ): Held {
    const old = this.#held.get(name) ?? nothing;
    const revNats = new Map<string, number>();
    for (const key of frontends) {
      const number = old.revNats.get(key) ?? this.#revNats.take();
      if (number !== undefined) revNats.set(key, number);
    }
    const held = { revNats, backends: backends.map((backend) => this.#join(name, backend, protocol)) };
    this.#release(name, old, held);
    this.#held.set(name, held);
    if (!sameNumbers(old, held)) this.#unsaved.add(name);
    return held;
  }

  /** Takes all numbers of a service back. */
  release(name: string): void {
    const old = this.#held.get(name);
    if (old === undefined) return;
    this.#release(name, old, nothing);
    this.#held.delete(name);
    this.#unsaved.add(name);
  }

  /** Resolves when all numbers handed out so far are on disk. @throws StateWriteError; then a later call tries again */
  async save(): Promise<void> {
    const names = this.#unsaved;
    if (names.size === 0) return;
    this.#unsaved = new Set();
    try {
      await Promise.all([
        ...Array.from(names, (name) => this.#store(name)),
        this.#cursors.put("backend", this.#backendIds.next),
        this.#cursors.put("reverse-nat", this.#revNats.next),
      ]);
    } catch (error) {
      for (const name of names) this.#unsaved.add(name);
      throw error;
    }
  }

  async #store(name: string): Promise<void> {
    const held = this.#held.get(name);
    if (held === undefined) await this.#stored.delete(name);
    else {
      await this.#stored.put(name, {
        revNats: Object.fromEntries(held.revNats),
        backends: Object.fromEntries(held.backends.map((backend) => [backend.key, backend.id])),
      });
    }
  }

  #join(name: string, { ip, port, state }: Backend, protocol: ServiceProtocol): NumberedBackend {
    const key = addressKey({ ip, port }, protocol);
    const known = this.#byKey.get(key) ?? this.#newBackend({ ip, port }, protocol);
    if (known.join(name, state)) this.#changed.add(known);
    return known;
  }

  #newBackend(at: IpPort, protocol: ServiceProtocol): NumberedBackend {
    const id = this.#backendIds.take();
    if (id === undefined) throw resourceExhausted("all backend ids are taken");
    return this.#add(new NumberedBackend(id, at, protocol));
  }

  #restoreBackend(key: string, id: number): NumberedBackend {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    this.#backendIds.restore(id);
    return this.#add(NumberedBackend.restored(id, key));
  }

  #add(backend: NumberedBackend): NumberedBackend {
    this.#byKey.set(backend.key, backend);
    this.#byId.set(backend.id, backend);
    this.#counts[backend.family] += 1;
    return backend;
  }

  #release(name: string, old: Held, held: Held): void {
    for (const [key, number] of old.revNats) if (!held.revNats.has(key)) this.#revNats.release(number);
    const kept = new Set(held.backends);
    for (const backend of old.backends) {
      if (kept.has(backend)) continue;
      if (backend.leave(name)) this.#changed.add(backend);
      if (backend.wanted) continue;
      this.#changed.delete(backend);
      this.#byKey.delete(backend.key);
      this.#byId.delete(backend.id);
      this.#counts[backend.family] -= 1;
      this.#backendIds.release(backend.id);
    }
  }
}

function sameNumbers(left: Held, right: Held): boolean {
  return (
    left.revNats.size === right.revNats.size &&
    left.backends.length === right.backends.length &&
    left.backends.every((backend, index) => backend === right.backends[index]) &&
    [...left.revNats].every(([key, number]) => right.revNats.get(key) === number)
  );
}
