import type { LbAffinityMatch, LbKey } from "../../datapath/maps/index.ts";
import { type ServiceMaps, slotText } from "./kernel-maps.ts";
import type { Family } from "./keys.ts";

const families: readonly Family[] = [4, 6];
const matchText = ({ backendId, revNatIndex }: LbAffinityMatch): string => `${backendId} ${revNatIndex}`;

/**
 * Entries of the kernel's maps that nobody needs any more, until they are gone. What cannot be deleted now is tried
 * again with the next collection.
 */
export class Garbage {
  readonly #maps: () => ServiceMaps;
  readonly #quiesce: () => Promise<void>;
  readonly #slots: Record<Family, Map<string, LbKey>> = { 4: new Map(), 6: new Map() };
  readonly #backends: Record<Family, Set<number>> = { 4: new Set(), 6: new Set() };
  readonly #reverseNat: Record<Family, Set<number>> = { 4: new Set(), 6: new Set() };
  readonly #matches = new Map<string, LbAffinityMatch>();
  readonly #maglev = new Set<number>();

  /** @param quiesce resolves when every packet that was in a program has left it */
  constructor(maps: () => ServiceMaps, quiesce: () => Promise<void>) {
    this.#maps = maps;
    this.#quiesce = quiesce;
  }

  addSlot(family: Family, key: LbKey): void {
    this.#slots[family].set(slotText(key), key);
  }

  addBackend(family: Family, id: number): void {
    this.#backends[family].add(id);
  }

  addReverseNat(family: Family, index: number): void {
    this.#reverseNat[family].add(index);
  }

  addMatch(match: LbAffinityMatch): void {
    this.#matches.set(matchText(match), match);
  }

  addMaglev(revNat: number): void {
    this.#maglev.add(revNat);
  }

  spareSlot(family: Family, key: LbKey): void {
    this.#slots[family].delete(slotText(key));
  }

  spareBackend(family: Family, id: number): void {
    this.#backends[family].delete(id);
  }

  spareReverseNat(family: Family, index: number): void {
    this.#reverseNat[family].delete(index);
  }

  spareMatch(match: LbAffinityMatch): void {
    this.#matches.delete(matchText(match));
  }

  spareMaglev(revNat: number): void {
    this.#maglev.delete(revNat);
  }

  /** Deletes frontends, waits for packets that have seen them, and deletes what these may have needed. */
  async collect(): Promise<void> {
    if (this.#empty) return;
    const maps = this.#maps();
    for (const family of families) {
      const frontends = [...this.#slots[family].values()].filter(({ slot }) => slot === 0);
      if (frontends.length > 0) await maps[family].services.deleteBatch(frontends);
      for (const key of frontends) this.spareSlot(family, key);
    }
    await this.#quiesce();
    await empty(this.#matches, (matches) => maps.affinityMatch.deleteBatch([...matches.values()]));
    await empty(this.#maglev, (indexes) => maps.maglev.deleteBatch([...indexes]));
    for (const family of families) {
      const { services, reverseNat, backends } = maps[family];
      await empty(this.#slots[family], (slots) => services.deleteBatch([...slots.values()]));
      await empty(this.#reverseNat[family], (indexes) => reverseNat.deleteBatch([...indexes]));
      await empty(this.#backends[family], (ids) => backends.deleteBatch([...ids]));
    }
  }

  get #empty(): boolean {
    const all = [this.#slots, this.#backends, this.#reverseNat].flatMap((one) => [one[4], one[6]]);
    return [...all, this.#matches, this.#maglev].every(({ size }) => size === 0);
  }
}

/** Empties a collection once its content is deleted. */
async function empty<C extends { readonly size: number; clear(): void }>(
  collection: C,
  remove: (content: C) => Promise<number>,
): Promise<void> {
  if (collection.size === 0) return;
  await remove(collection);
  collection.clear();
}
