import type { TableKey } from "../types.ts";

/** Which rows, by primary key, have a value. Most values have one row, which then costs no set. */
export class KeyMultimap<Value, Key extends TableKey> {
  readonly #keys = new Map<Value, Key | Set<Key>>();

  /** The number of distinct values. */
  get size(): number {
    return this.#keys.size;
  }

  values(): IterableIterator<Value> {
    return this.#keys.keys();
  }

  get(value: Value): Iterable<Key> {
    const keys = this.#keys.get(value);
    if (keys === undefined) return [];
    return keys instanceof Set ? keys : [keys];
  }

  /** Returns whether the value is new. */
  add(value: Value, key: Key): boolean {
    const keys = this.#keys.get(value);
    if (keys === undefined) this.#keys.set(value, key);
    else if (keys instanceof Set) keys.add(key);
    else if (keys !== key) this.#keys.set(value, new Set([keys, key]));
    return keys === undefined;
  }

  /** Returns whether the value is gone. */
  remove(value: Value, key: Key): boolean {
    const keys = this.#keys.get(value);
    if (keys === undefined) return false;
    if (keys instanceof Set) {
      keys.delete(key);
      if (keys.size > 0) return false;
    } else if (keys !== key) {
      return false;
    }
    this.#keys.delete(value);
    return true;
  }
}
