import type { Lb4Key } from "../../datapath/maps/index.ts";
import { type ServiceMaps, slotText } from "./kernel-maps.ts";

/** Entries to be written: what they were before, nobody may remove any more. */
export interface Written {
  readonly slots: readonly Lb4Key[];
  readonly backends: readonly number[];
  readonly reverseNat: readonly number[];
}

/**
 * Entries of the kernel's maps that nobody needs any more, until they are gone. What cannot be deleted now is tried
 * again with the next collection.
 */
export class Garbage {
  /** See `KernelServices`. */
  readonly quiesce: () => Promise<void>;
  readonly #maps: () => ServiceMaps;
  readonly #slots = new Map<string, Lb4Key>();
  readonly #backends = new Set<number>();
  readonly #reverseNat = new Set<number>();

  constructor(maps: () => ServiceMaps, quiesce: () => Promise<void>) {
    this.#maps = maps;
    this.quiesce = quiesce;
  }

  addSlot(key: Lb4Key): void {
    this.#slots.set(slotText(key), key);
  }

  addBackend(id: number): void {
    this.#backends.add(id);
  }

  addReverseNat(index: number): void {
    this.#reverseNat.add(index);
  }

  /** Takes back what is about to be written anew. */
  spare(written: Written): void {
    for (const key of written.slots) this.#slots.delete(slotText(key));
    for (const id of written.backends) this.#backends.delete(id);
    for (const index of written.reverseNat) this.#reverseNat.delete(index);
  }

  /** Deletes frontends, waits for packets that have seen them, and deletes what these may have needed. */
  async collect(): Promise<void> {
    if (this.#slots.size + this.#backends.size + this.#reverseNat.size === 0) return;
    const { services, backends, reverseNat } = this.#maps();
    const frontends = [...this.#slots.values()].filter(({ slot }) => slot === 0);
    await services.deleteBatch(frontends);
    for (const key of frontends) this.#slots.delete(slotText(key));
    await this.quiesce();
    await services.deleteBatch([...this.#slots.values()]);
    this.#slots.clear();
    await reverseNat.deleteBatch([...this.#reverseNat]);
    this.#reverseNat.clear();
    await backends.deleteBatch([...this.#backends]);
    this.#backends.clear();
  }
}
