const wordBits = 32;

/**
 * A range of consecutive IPv4 addresses, as numbers, with an owner each. Memory and search are those of a bitmap, so
 * a /8 works as well as a /30.
 */
export class AddressPool {
  readonly #first: number;
  readonly #size: number;
  readonly #taken: Uint32Array;
  readonly #owners = new Map<number, string>();
  /** Where the next search begins: a released address rests until the range has been gone through. */
  #cursor = 0;

  /** @param size number of addresses, from 1 to 2^32 */
  constructor(first: number, size: number) {
    this.#first = first;
    this.#size = size;
    this.#taken = new Uint32Array(Math.ceil(size / wordBits));
    // Bits beyond the end are taken for ever.
    const tail = size % wordBits;
    if (tail !== 0) this.#taken[this.#taken.length - 1] = (0xffff_ffff << tail) >>> 0;
  }

  get size(): number {
    return this.#size;
  }

  get used(): number {
    return this.#owners.size;
  }

  contains(address: number): boolean {
    return address >= this.#first && address < this.#first + this.#size;
  }

  owner(address: number): string | undefined {
    return this.#owners.get(address);
  }

  /** False when somebody has it. The address must be in the range. */
  take(address: number, owner: string): boolean {
    if (this.#owners.has(address)) return false;
    const index = address - this.#first;
    this.#taken[index >>> 5]! |= 1 << (index & 31);
    this.#owners.set(address, owner);
    return true;
  }

  /** The next free address after the one handed out last; undefined when there is none. */
  takeNext(owner: string): number | undefined {
    const index = this.#findFree(this.#cursor);
    if (index === undefined) return undefined;
    this.#cursor = (index + 1) % this.#size;
    const address = this.#first + index;
    this.take(address, owner);
    return address;
  }

  /** False when nobody had it. */
  release(address: number): boolean {
    if (!this.#owners.delete(address)) return false;
    const index = address - this.#first;
    this.#taken[index >>> 5]! &= ~(1 << (index & 31));
    return true;
  }

  /** Index of the first clear bit from `from` on, round the end. */
  #findFree(from: number): number | undefined {
    const words = this.#taken.length;
    const start = from >>> 5;
    for (let step = 0; step <= words; step += 1) {
      const word = (start + step) % words;
      // The first word is looked at twice: from the cursor on, and at the end from its beginning.
      const below = step === 0 ? ((1 << (from & 31)) >>> 0) - 1 : 0;
      const free = ~(this.#taken[word]! | below) >>> 0;
      if (free !== 0) return word * wordBits + (31 - Math.clz32(free & -free));
    }
    return undefined;
  }
}
