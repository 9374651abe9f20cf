/** Many elements at a time: batch system calls where the map's type has them, single ones otherwise. */
import { constants } from "node:os";
import { setImmediate as nextTurn } from "node:timers/promises";
import { DatapathError } from "../errors.ts";
import { checkSize } from "./check.ts";
import { callAsync } from "./ffi/async.ts";
import {
  bpf_map_delete_batch,
  bpf_map_get_next_key,
  bpf_map_lookup_batch,
  bpf_map_update_batch,
} from "./ffi/map.ts";
import type { KernelMap } from "./map.ts";

interface Entry {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Entries a system call: about a millisecond of kernel time, and at most `CHUNK_BYTES` of memory. */
const CHUNK_ENTRIES = 4096;
const CHUNK_BYTES = 4 << 20;
/** Entries a system call on another thread: the event loop may be busy when it ends, and the kernel is idle then. */
const ASIDE_CHUNK_ENTRIES = 8192;
/** From so many entries on the kernel's time is worth a thread's: the event loop prepares the next ones meanwhile. */
const ASIDE_ENTRIES = 256;

const { ENOENT, ENOSPC, EINTR, EINVAL, EOPNOTSUPP } = constants.errno;
/** What the kernel answers for a map type without batch operations (include/linux/errno.h). */
const ENOTSUPP = 524;

/** Batches of one map. Remembers when its type has none. */
export class MapBatches {
  readonly #map: KernelMap;
  #batchable = true;

  constructor(map: KernelMap) {
    this.#map = map;
  }

  /** @throws DatapathError, also for as many keys as values or for one of another size */
  async update(keys: readonly Buffer[], values: readonly Buffer[]): Promise<void> {
    const map = this.#map;
    this.#checkCounts(keys.length, values.length);
    for (const key of keys) map.checkKey(key);
    for (const value of values) map.checkValue(value);
    // A chunk at a time: large values need not exist twice.
    for (let start = 0; start < keys.length; start += this.#chunk) {
      if (start > 0) await nextTurn();
      const end = Math.min(keys.length, start + this.#chunk);
      const packedKeys = pack(keys, start, end, map.spec.keySize);
      const packedValues = pack(values, start, end, map.userValueSize);
      await this.updatePacked(packedKeys, packedValues);
    }
  }

  /** Entries one behind the other. @throws DatapathError, also for as many keys as values */
  async updatePacked(keys: Buffer, values: Buffer): Promise<void> {
    const { spec, userValueSize, label } = this.#map;
    const count = keys.length / spec.keySize;
    if (!Number.isInteger(count)) checkSize("keys", label, keys.length, Math.ceil(count) * spec.keySize);
    this.#checkCounts(count, values.length / userValueSize);
    for (let start = 0, end = 0; start < count; start = end) {
      end = Math.min(count, start + (this.#batchable ? this.#chunkOf(ASIDE_CHUNK_ENTRIES) : this.#chunk));
      const someKeys = keys.subarray(start * spec.keySize, end * spec.keySize);
      const someValues = values.subarray(start * userValueSize, end * userValueSize);
      if (this.#batchable && (await this.#updateChunk(someKeys, someValues, end - start))) continue;
      if (start > 0) await nextTurn();
      this.#updateOneByOne(someKeys, someValues, end - start);
    }
  }

  /** False, having changed nothing, when the type has no batches. */
  async #updateChunk(keys: Buffer, values: Buffer, entries: number): Promise<boolean> {
    const map = this.#map;
    const count = counter(entries);
    const result =
      entries < ASIDE_ENTRIES
        ? bpf_map_update_batch(map.fd, keys, values, count, null)
        : await this.#updateAside(keys, values, count);
    if (result === 0) return true;
    if (this.#isUnsupported(result)) return false;
    throw this.#failure("update batch in", result, `after ${count.readUInt32LE(0)} of ${entries} entries`);
  }

  async #updateAside(keys: Buffer, values: Buffer, count: Buffer): Promise<number> {
    const fd = this.#map.duplicateFd();
    try {
      return await callAsync(bpf_map_update_batch, fd.number, keys, values, count, null);
    } finally {
      fd.close();
    }
  }

  #updateOneByOne(keys: Buffer, values: Buffer, entries: number): void {
    const { spec, userValueSize } = this.#map;
    for (let i = 0; i < entries; i++) {
      const key = keys.subarray(i * spec.keySize, (i + 1) * spec.keySize);
      this.#map.update(key, values.subarray(i * userValueSize, (i + 1) * userValueSize));
    }
  }

  #checkCounts(keys: number, values: number): void {
    if (keys === values) return;
    throw new DatapathError({
      operation: "update batch in",
      object: this.#map.label,
      detail: `${keys} keys but ${values} values`,
      status: "INVALID_ARGUMENT",
    });
  }

  async delete(keys: readonly Buffer[]): Promise<number> {
    const map = this.#map;
    for (const key of keys) map.checkKey(key);
    let deleted = 0;
    for (let start = 0; start < keys.length; start += this.#chunk) {
      if (start > 0) await nextTurn();
      const end = Math.min(keys.length, start + this.#chunk);
      const batched = this.#batchable ? this.#deleteChunk(keys, start, end) : undefined;
      if (batched !== undefined) deleted += batched;
      else for (let i = start; i < end; i++) deleted += map.delete(keys[i]!) ? 1 : 0;
    }
    return deleted;
  }

  /** Number deleted; undefined, having changed nothing, when the type has no batches. */
  #deleteChunk(keys: readonly Buffer[], start: number, end: number): number | undefined {
    const map = this.#map;
    const { keySize } = map.spec;
    const packed = pack(keys, start, end, keySize);
    let position = 0;
    let deleted = 0;
    while (position < end - start) {
      const count = counter(end - start - position);
      const result = bpf_map_delete_batch(map.fd, packed.subarray(position * keySize), count, null);
      if (this.#isUnsupported(result)) return undefined;
      const done = count.readUInt32LE(0);
      deleted += done;
      if (result === 0) return deleted;
      if (result !== -ENOENT)
        throw this.#failure("delete batch from", result, `after ${start + position + done}`);
      // The kernel stops at the first key that is absent: go on behind it.
      position += done + 1;
    }
    return deleted;
  }

  async entries(): Promise<readonly Entry[]> {
    return (this.#batchable ? await this.#entriesByBatch() : undefined) ?? (await this.#entriesByKey());
  }

  async #entriesByBatch(): Promise<readonly Entry[] | undefined> {
    const map = this.#map;
    const { keySize, maxEntries } = map.spec;
    const found: Entry[] = [];
    let room = Math.min(this.#chunk, Math.max(maxEntries, 1));
    // A position is a bucket number in hashes and a whole key elsewhere.
    let position: Buffer | null = null;
    for (;;) {
      const next = Buffer.alloc(Math.max(keySize, 4));
      const keys = Buffer.alloc(room * keySize);
      const values = Buffer.alloc(room * map.userValueSize);
      const count = counter(room);
      const result = bpf_map_lookup_batch(map.fd, position, next, keys, values, count, null);
      if (this.#isUnsupported(result)) return undefined;
      if (result === -ENOSPC) {
        // A single hash bucket holds more than there is room for.
        room *= 2;
        continue;
      }
      if (result === -EINTR) continue;
      if (result !== 0 && result !== -ENOENT) throw this.#failure("list", result);
      const read = count.readUInt32LE(0);
      for (let i = 0; i < read; i++) {
        found.push({
          key: keys.subarray(i * keySize, (i + 1) * keySize),
          value: values.subarray(i * map.userValueSize, (i + 1) * map.userValueSize),
        });
      }
      if (result === -ENOENT) return found;
      position = next;
      await nextTurn();
    }
  }

  async #entriesByKey(): Promise<readonly Entry[]> {
    const found: Entry[] = [];
    await this.#walk((key) => {
      const value = this.#map.lookup(key);
      if (value !== undefined) found.push({ key, value });
    });
    return found;
  }

  /** Without their values, which may be large: a system call a key. */
  async keys(): Promise<readonly Buffer[]> {
    const found: Buffer[] = [];
    await this.#walk((key) => found.push(key));
    return found;
  }

  async #walk(visit: (key: Buffer) => void): Promise<void> {
    const map = this.#map;
    let previous: Buffer | null = null;
    // When the previous key vanishes the kernel starts over; the bound keeps a busy map from doing so forever.
    for (let steps = 0; steps <= 2 * map.spec.maxEntries; steps++) {
      const key: Buffer = Buffer.alloc(map.spec.keySize);
      const result = bpf_map_get_next_key(map.fd, previous, key);
      if (result === -ENOENT) return;
      if (result < 0) throw this.#failure("list", result);
      visit(key);
      previous = key;
      if (steps % CHUNK_ENTRIES === CHUNK_ENTRIES - 1) await nextTurn();
    }
  }

  get #chunk(): number {
    return this.#chunkOf(CHUNK_ENTRIES);
  }

  #chunkOf(entries: number): number {
    const bytes = this.#map.spec.keySize + this.#map.userValueSize;
    return Math.max(1, Math.min(entries, Math.floor(CHUNK_BYTES / bytes)));
  }

  #isUnsupported(result: number): boolean {
    if (result === -ENOTSUPP || result === -EOPNOTSUPP) this.#batchable = false;
    // EINVAL: a kernel from before the batch commands (Linux 5.6), or a bad element, which a single call names.
    else if (result !== -EINVAL) return false;
    return true;
  }

  #failure(operation: string, result: number, detail?: string): DatapathError {
    const object = this.#map.label;
    return new DatapathError({
      operation,
      object,
      errno: -result,
      ...(detail === undefined ? {} : { detail }),
    });
  }
}

function counter(value: number): Buffer {
  const count = Buffer.alloc(4);
  count.writeUInt32LE(value);
  return count;
}

/** Lays `items[start, end)` one behind the other. */
function pack(items: readonly Buffer[], start: number, end: number, size: number): Buffer {
  const packed = Buffer.allocUnsafe((end - start) * size);
  for (let i = start; i < end; i++) items[i]!.copy(packed, (i - start) * size);
  return packed;
}
