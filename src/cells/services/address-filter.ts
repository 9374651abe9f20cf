import type { BpfMap } from "../../datapath/index.ts";
import { LB_FILTER_WORDS, lbFilterBit } from "../../datapath/maps/index.ts";

const WORD_BYTES = 8;

/**
 * At which addresses programs need not look for services (`waggle_no_services`). An address must have been let through
 * before there is a frontend at it, and is denied after the last one is gone: a denial that is missing costs a search,
 * one too many hides a service. So nothing is denied until it is certain what is in the kernel.
 */
export class AddressFilter {
  readonly #map: () => BpfMap<number, bigint>;
  /** Bits of the frontends that there are or may be, by their keys. */
  readonly #frontends = new Map<string, number>();
  /** How many frontends a bit has beyond the first, where it has any. */
  readonly #others = new Map<number, number>();
  /** The bits as they shall be. */
  readonly #denied = Buffer.alloc(LB_FILTER_WORDS * WORD_BYTES, 0xff);
  /** Words that are not in the kernel as they shall be. */
  readonly #dirty = new Set<number>();
  /** Whether the kernel is to have the bits: before, it denies nothing. */
  #certain = false;

  /** @param map called when first needed: shared maps are open only after start */
  constructor(map: () => BpfMap<number, bigint>) {
    this.#map = map;
  }

  /** Notes that there may be a frontend, as often as one likes. Nothing is written yet. */
  hold(frontend: string, address: string): void {
    if (this.#frontends.has(frontend)) return;
    const bit = lbFilterBit(address);
    this.#frontends.set(frontend, bit);
    if (this.#isDenied(bit)) this.#flip(bit);
    else this.#others.set(bit, (this.#others.get(bit) ?? 0) + 1);
  }

  /** Notes that a frontend is gone. Nothing is written yet. */
  release(frontend: string): void {
    const bit = this.#frontends.get(frontend);
    if (bit === undefined) return;
    this.#frontends.delete(frontend);
    const others = this.#others.get(bit);
    if (others === undefined) this.#flip(bit);
    else if (others === 1) this.#others.delete(bit);
    else this.#others.set(bit, others - 1);
  }

  /** Lets everything through: whatever is in the kernel, and whoever has written it. @throws DatapathError */
  async open(): Promise<void> {
    this.#certain = false;
    await this.#put(everyWord(), Buffer.alloc(LB_FILTER_WORDS * WORD_BYTES));
  }

  /** From now on denies what is not held: there is nothing else in the kernel. @throws DatapathError; try again then */
  async deny(): Promise<void> {
    if (!this.#certain) for (const word of everyWord()) this.#dirty.add(word);
    this.#certain = true;
    await this.write();
  }

  /** Resolves when the kernel knows what was noted. @throws DatapathError; the next call tries again */
  async write(): Promise<void> {
    if (!this.#certain) return this.#dirty.clear();
    if (this.#dirty.size === 0) return;
    const words = [...this.#dirty];
    const values = Buffer.allocUnsafe(words.length * WORD_BYTES);
    words.forEach((word, i) => {
      this.#denied.copy(values, i * WORD_BYTES, word * WORD_BYTES, (word + 1) * WORD_BYTES);
    });
    await this.#put(words, values);
    for (const word of words) this.#dirty.delete(word);
  }

  async #put(words: readonly number[], values: Buffer): Promise<void> {
    await this.#map().raw.updatePacked(Buffer.from(Uint32Array.from(words).buffer), values);
  }

  #isDenied(bit: number): boolean {
    return ((this.#denied[bit >>> 3]! >>> (bit & 7)) & 1) === 1;
  }

  #flip(bit: number): void {
    this.#denied[bit >>> 3]! ^= 1 << (bit & 7);
    this.#dirty.add(bit >>> 6);
  }
}

const everyWord = (): number[] => Array.from({ length: LB_FILTER_WORDS }, (_, word) => word);
