import type { StateCollection } from "../state/index.ts";

/** Small numbers by name, kept on disk. A number that was given back is taken again when all others were. */
export class Numbers {
  readonly size: number;
  readonly #stored: StateCollection<number>;
  readonly #byName = new Map<string, number>();
  readonly #taken = new Set<number>();
  #next = 0;

  /**
   * @param size numbers are from 0 up to it
   * @param own which names of the collection are kept here; undefined: all
   */
  constructor(stored: StateCollection<number>, size: number, own: (name: string) => boolean = () => true) {
    this.size = size;
    this.#stored = stored;
    for (const { key, value } of stored.all()) {
      // Fewer than there were: what stands beyond has to be numbered anew.
      if (!own(key) || value >= size) continue;
      this.#byName.set(key, value);
      this.#taken.add(value);
    }
  }

  get(name: string): number | undefined {
    return this.#byName.get(name);
  }

  entries(): readonly (readonly [string, number])[] {
    return [...this.#byName];
  }

  taken(): readonly number[] {
    return [...this.#taken];
  }

  /** A number that nobody has, or undefined. */
  free(): number | undefined {
    for (let step = 0; step < this.size; step++) {
      const number = (this.#next + step) % this.size;
      if (this.#taken.has(number)) continue;
      this.#next = number + 1;
      return number;
    }
    return undefined;
  }

  /**
   * Gives the name a free number. It is known at once; resolves when it is on disk.
   * @param prepare what must be done for the number first
   * @throws what `prepare` throws, StateWriteError; the name has no number then
   */
  async take(name: string, number: number, prepare: () => void): Promise<void> {
    this.#byName.set(name, number);
    this.#taken.add(number);
    try {
      prepare();
      await this.#stored.put(name, number);
    } catch (error) {
      this.#byName.delete(name);
      this.#taken.delete(number);
      throw error;
    }
  }

  /** Gives back the numbers of these names. */
  async release(gone: (name: string) => boolean): Promise<void> {
    const names = [...this.#byName.keys()].filter(gone);
    await Promise.all(
      names.map(async (name) => {
        await this.#stored.delete(name);
        this.#taken.delete(this.#byName.get(name)!);
        this.#byName.delete(name);
      }),
    );
  }
}
