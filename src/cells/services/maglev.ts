import { MAGLEV_TABLE_SIZE } from "../../datapath/maps/index.ts";
import type { NumberedBackend } from "./backend.ts";

/**
 * A lookup table of backend ids after "Maglev: A Fast and Reliable Software Network Load Balancer" (Eisenbud et al.,
 * NSDI 2016, section 3.4): every backend has its own permutation of the table's places, and in turn each takes the
 * first place of its permutation that is free. All get equal shares, to one place, and few places change hands when
 * backends come or go.
 *
 * It follows from the backends' addresses, not from their ids or order, so all nodes agree on the backend of a
 * connection.
 *
 * @param backends at least one
 */
export function maglevTable(backends: readonly NumberedBackend[]): Uint32Array {
  const size = MAGLEV_TABLE_SIZE;
  const sorted = [...backends].sort((left, right) => (left.key < right.key ? -1 : 1));
  const places = new Uint32Array(sorted.length);
  const steps = new Uint32Array(sorted.length);
  sorted.forEach(({ key }, index) => {
    places[index] = hash(key, 0x9747b28c) % size;
    steps[index] = (hash(key, 0x1b873593) % (size - 1)) + 1;
  });
  const table = new Uint32Array(size);
  const taken = new Uint8Array(size);
  for (let filled = 0; ; ) {
    for (let index = 0; index < sorted.length; index += 1) {
      let place = places[index]!;
      const step = steps[index]!;
      while (taken[place] === 1) place = (place + step) % size;
      table[place] = sorted[index]!.id;
      taken[place] = 1;
      places[index] = (place + step) % size;
      filled += 1;
      if (filled === size) return table;
    }
  }
}

/** FNV-1a over the text, and the final mix of MurmurHash3, without which similar texts have similar hashes. */
function hash(text: string, seed: number): number {
  let state = 0x811c9dc5 ^ seed;
  for (let index = 0; index < text.length; index += 1)
    state = Math.imul(state ^ text.charCodeAt(index), 0x01000193);
  state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  return (state ^ (state >>> 16)) >>> 0;
}
