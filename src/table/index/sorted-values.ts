import type { TableKey } from "../types.ts";

/** Up to so many changes are inserted one by one; more are merged in one pass. */
const FEW = 16;

/** Numbers before strings; numbers by size, strings by code unit. */
export function compareValues(a: TableKey, b: TableKey): number {
  const aIsText = typeof a === "string";
  const bIsText = typeof b === "string";
  if (aIsText !== bIsText) return aIsText ? 1 : -1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * A set of values that can be walked in order. It is sorted when it is first walked and kept so from then on,
 * lazily: a table whose order nobody asks for pays nothing for it.
 */
export class SortedValues<Value extends TableKey> {
  readonly #source: () => Iterable<Value>;
  #sorted: Value[] | undefined;
  readonly #added = new Set<Value>();
  readonly #removed = new Set<Value>();

  /** @param source all values, for the first sort */
  constructor(source: () => Iterable<Value>) {
    this.#source = source;
  }

  add(value: Value): void {
    if (this.#sorted && !this.#removed.delete(value)) this.#added.add(value);
  }

  remove(value: Value): void {
    if (this.#sorted && !this.#added.delete(value)) this.#removed.add(value);
  }

  /** The values at or above this one, in order. */
  *from(value: TableKey): IterableIterator<Value> {
    const sorted = this.#settle();
    for (let i = lowerBound(sorted, value); i < sorted.length; i++) yield sorted[i]!;
  }

  /** The strings that begin so, in order. */
  *startingWith(prefix: string): IterableIterator<Value> {
    for (const value of this.from(prefix)) {
      if (typeof value !== "string" || !value.startsWith(prefix)) return;
      yield value;
    }
  }

  #settle(): Value[] {
    if (!this.#sorted) {
      this.#sorted = [...this.#source()].sort(compareValues);
    } else if (this.#added.size + this.#removed.size <= FEW) {
      for (const value of this.#removed) this.#sorted.splice(lowerBound(this.#sorted, value), 1);
      for (const value of this.#added) this.#sorted.splice(lowerBound(this.#sorted, value), 0, value);
    } else {
      const kept = this.#sorted.filter((value) => !this.#removed.has(value));
      this.#sorted = merge(kept, [...this.#added].sort(compareValues));
    }
    this.#added.clear();
    this.#removed.clear();
    return this.#sorted;
  }
}

/** The position of the first element at or above the value. */
function lowerBound(sorted: readonly TableKey[], value: TableKey): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareValues(sorted[middle]!, value) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function merge<Value extends TableKey>(a: readonly Value[], b: readonly Value[]): Value[] {
  const merged: Value[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    merged.push(compareValues(a[i]!, b[j]!) <= 0 ? a[i++]! : b[j++]!);
  }
  while (i < a.length) merged.push(a[i++]!);
  while (j < b.length) merged.push(b[j++]!);
  return merged;
}
