import type {
  LbAffinityMatch,
  LbBackend,
  LbKey,
  LbReverseNat,
  LbService,
} from "../../datapath/maps/index.ts";
import type { NumberedBackend } from "./backend.ts";
import type { Garbage } from "./garbage.ts";
import {
  affinityBackends,
  backendValue,
  frontendValue,
  hasMaglevTable,
  inSlots,
  type ServiceMaps,
  slotKey,
  slotValue,
} from "./kernel-maps.ts";
import type { Family } from "./keys.ts";
import { maglevTable } from "./maglev.ts";
import { Pace } from "./pace.ts";
import type { FrontendRow } from "./rows.ts";
import type { BackendState } from "./types.ts";

/** Tables of 16 KiB written at a time. */
const MAGLEV_BATCH = 64;

type Entries<K, V> = [K, V][];

/** What must be written of one family. */
interface FamilyWrites {
  /** With the state they have got when this was collected. */
  readonly backends: Map<NumberedBackend, BackendState>;
  readonly reverseNat: Entries<number, LbReverseNat>;
  readonly slots: Entries<LbKey, LbService>;
  readonly frontends: Entries<LbKey, LbService>;
}

const none = (): FamilyWrites => ({ backends: new Map(), reverseNat: [], slots: [], frontends: [] });

/** Collects what rows need in the kernel beyond what is there, and writes it: what is pointed to comes first. */
export class Writes {
  readonly #families: Record<Family, FamilyWrites> = { 4: none(), 6: none() };
  readonly #matches: Entries<LbAffinityMatch, number> = [];
  readonly #maglev: FrontendRow[] = [];

  /** A backend is new, or has another state than the kernel knows. */
  addBackend(family: Family, backend: NumberedBackend): void {
    this.#families[family].backends.set(backend, backend.state);
  }

  /** @param before what of the frontend is certainly in the kernel */
  addRow(row: FrontendRow, before: FrontendRow | undefined): void {
    const { slots, reverseNat, frontends } = this.#families[row.family];
    const same = before?.revNat === row.revNat ? before : undefined;
    const old = same === undefined ? [] : inSlots(same);
    inSlots(row).forEach(({ id }, index) => {
      if (old[index]?.id !== id) slots.push([slotKey(row, index + 1), slotValue(id, row.revNat)]);
    });
    if (same === undefined) reverseNat.push([row.revNat, { address: row.ip, port: row.port }]);
    const matched = new Set(same === undefined ? [] : affinityBackends(same));
    for (const backend of affinityBackends(row))
      if (!matched.has(backend)) this.#matches.push([{ backendId: backend.id, revNatIndex: row.revNat }, 1]);
    if (hasMaglevTable(row) && !(same && hasMaglevTable(same) && sameBackends(same.chosen, row.chosen)))
      this.#maglev.push(row);
    const value = frontendValue(row);
    if (same === undefined || !sameValue(frontendValue(same), value))
      frontends.push([slotKey(row, 0), value]);
  }

  /** Takes back what is about to be written anew. */
  spare(garbage: Garbage): void {
    for (const family of [4, 6] as const) {
      const { backends, reverseNat, slots, frontends } = this.#families[family];
      for (const { id } of backends.keys()) garbage.spareBackend(family, id);
      for (const [index] of reverseNat) garbage.spareReverseNat(family, index);
      for (const [key] of slots) garbage.spareSlot(family, key);
      for (const [key] of frontends) garbage.spareSlot(family, key);
    }
    for (const [match] of this.#matches) garbage.spareMatch(match);
    for (const { revNat } of this.#maglev) garbage.spareMaglev(revNat);
  }

  /** @param written told of backends as soon as they are in the kernel */
  async perform(
    maps: ServiceMaps,
    written: (backends: ReadonlyMap<NumberedBackend, BackendState>) => void,
  ): Promise<void> {
    for (const family of [4, 6] as const) {
      const { backends, reverseNat } = this.#families[family];
      await maps[family].backends.updateBatch(
        Array.from(backends, ([backend, state]): [number, LbBackend] => [
          backend.id,
          backendValue(backend, state),
        ]),
      );
      written(backends);
      await maps[family].reverseNat.updateBatch(reverseNat);
    }
    await maps.affinityMatch.updateBatch(this.#matches);
    await this.#writeMaglev(maps);
    for (const family of [4, 6] as const)
      await maps[family].services.updateBatch(this.#families[family].slots);
    for (const family of [4, 6] as const)
      await maps[family].services.updateBatch(this.#families[family].frontends);
  }

  async #writeMaglev(maps: ServiceMaps): Promise<void> {
    const pace = new Pace();
    const tables = new Map<readonly NumberedBackend[], Uint32Array>();
    for (let start = 0; start < this.#maglev.length; start += MAGLEV_BATCH) {
      const entries: Entries<number, { readonly backends: Uint32Array }> = [];
      for (const { revNat, chosen } of this.#maglev.slice(start, start + MAGLEV_BATCH)) {
        const backends = tables.get(chosen) ?? maglevTable(chosen);
        tables.set(chosen, backends);
        entries.push([revNat, { backends }]);
        if (pace.due) await pace.turn();
      }
      await maps.maglev.updateBatch(entries);
    }
  }
}

/** Whether two sets of backends, each in its order, are the same. */
const sameBackends = (left: readonly NumberedBackend[], right: readonly NumberedBackend[]): boolean =>
  left === right || (left.length === right.length && left.every((backend, at) => backend === right[at]));

const sameValue = (left: LbService, right: LbService): boolean =>
  left.backendId === right.backendId &&
  left.count === right.count &&
  left.qcount === right.qcount &&
  left.flags === right.flags;
