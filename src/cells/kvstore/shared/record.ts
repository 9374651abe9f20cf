/**
 * What stands in the store under a key of a shared collection, as JSON: a value, or the tombstone of one; who wrote it,
 * and when. The time orders changes made without the store, and settles what holds after the store was emptied.
 */
export type SharedRecord<T> =
  | { readonly value: T; readonly node: string; readonly time: number }
  | { readonly deleted: true; readonly node: string; readonly time: number };

/** Microseconds since the epoch, and never less than what has been seen: later changes have later times. */
export class ChangeClock {
  #last = 0;

  next(): number {
    this.#last = Math.max(Date.now() * 1000, this.#last + 1);
    return this.#last;
  }

  /** Another's time, which what this node does from now on comes after. */
  saw(time: number): void {
    this.#last = Math.max(this.#last, time);
  }
}

/** Whether `a` is the later change; names of nodes settle ties, the same everywhere. */
export function isNewer(a: SharedRecord<unknown>, b: SharedRecord<unknown>): boolean {
  return a.time === b.time ? a.node > b.node : a.time > b.time;
}

export function isSame(a: SharedRecord<unknown>, b: SharedRecord<unknown>): boolean {
  return a.time === b.time && a.node === b.node;
}

export const encodeRecord = (record: SharedRecord<unknown>): string => JSON.stringify(record);

/** @throws when it is no record, or its value is not what the collection holds */
export function decodeRecord<T>(
  key: string,
  text: string,
  decode: (value: unknown, key: string) => T,
): SharedRecord<T> {
  const record: unknown = JSON.parse(text);
  if (typeof record !== "object" || record === null) throw new Error("it is no JSON object");
  const { node, time } = record as { node?: unknown; time?: unknown };
  if (typeof node !== "string" || !Number.isSafeInteger(time)) throw new Error("it has no node and time");
  const stamp = { node, time: time as number };
  if ((record as { deleted?: unknown }).deleted === true) return { deleted: true, ...stamp };
  return { value: decode((record as { value?: unknown }).value, key), ...stamp };
}
