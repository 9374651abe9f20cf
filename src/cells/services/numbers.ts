/**
 * Numbers of a range, each to one holder. A number that was given back rests until all others have been handed out:
 * conntrack entries in the kernel may mean its last holder for hours.
 */
export class RotatingNumbers {
  readonly #first: number;
  readonly #last: number;
  readonly #taken = new Set<number>();
  #next: number;

  constructor(first: number, last: number, next = first) {
    this.#first = first;
    this.#last = last;
    this.#next = next >= first && next <= last ? next : first;
  }

  /** Where the next search begins; to be stored and given to the constructor later. */
  get next(): number {
    return this.#next;
  }

  /** Undefined when all are taken. */
  take(): number | undefined {
    if (this.#taken.size > this.#last - this.#first) return undefined;
    while (this.#taken.has(this.#next)) this.#advance();
    const number = this.#next;
    this.#taken.add(number);
    this.#advance();
    return number;
  }

  /** Marks a number as taken that was handed out in an earlier life. */
  restore(number: number): void {
    this.#taken.add(number);
  }

  release(number: number): void {
    this.#taken.delete(number);
  }

  #advance(): void {
    this.#next = this.#next === this.#last ? this.#first : this.#next + 1;
  }
}
