/** Contents of maps, with the kernel's semantics and errnos; one class a kind. Sizes are checked before. */
import { maskBytes } from "../address.ts";
import { type MapSpec, MapType, type UpdateMode } from "../types.ts";
import type { ErrnoName } from "./errno.ts";

export interface Entry {
  readonly key: Buffer;
  readonly value: Buffer;
}

export interface MapStore {
  /** The errno of a refusal, or undefined. */
  update(key: Buffer, value: Buffer, mode: UpdateMode): ErrnoName | undefined;
  lookup(key: Buffer): Buffer | undefined;
  delete(key: Buffer): ErrnoName | undefined;
  entries(): readonly Entry[];
}

/** The store for a type, or undefined for types whose content is no key-value pairs. */
export function createStore(spec: MapSpec, valueSize: number): MapStore | undefined {
  switch (spec.type) {
    case MapType.hash:
    case MapType.percpuHash:
      return new HashStore(spec.maxEntries, "refuse");
    case MapType.lruHash:
      return new HashStore(spec.maxEntries, "evict");
    case MapType.array:
    case MapType.percpuArray:
      return new ArrayStore(spec.maxEntries, valueSize);
    case MapType.lpmTrie:
      return new LpmStore(spec.maxEntries, spec.keySize);
    default:
      return undefined;
  }
}

/** What the mode makes of an update of a present or absent key. */
function refusal(mode: UpdateMode, present: boolean): ErrnoName | undefined {
  if (mode === "noexist" && present) return "EEXIST";
  if (mode === "exist" && !present) return "ENOENT";
  return undefined;
}

/** HASH refuses the entry that is too many; LRU_HASH gives up the one written longest ago. */
class HashStore implements MapStore {
  readonly #entries = new Map<string, Entry>();
  readonly #maxEntries: number;
  readonly #whenFull: "refuse" | "evict";

  constructor(maxEntries: number, whenFull: "refuse" | "evict") {
    this.#maxEntries = maxEntries;
    this.#whenFull = whenFull;
  }

  update(key: Buffer, value: Buffer, mode: UpdateMode): ErrnoName | undefined {
    const name = key.toString("latin1");
    const present = this.#entries.has(name);
    const errno = refusal(mode, present);
    if (errno !== undefined) return errno;
    if (!present && this.#entries.size >= this.#maxEntries) {
      const [oldest] = this.#entries.keys();
      if (this.#whenFull === "refuse" || oldest === undefined) return "E2BIG";
      this.#entries.delete(oldest);
    }
    // Written last, evicted last.
    if (this.#whenFull === "evict") this.#entries.delete(name);
    this.#entries.set(name, { key: Buffer.from(key), value: Buffer.from(value) });
    return undefined;
  }

  lookup(key: Buffer): Buffer | undefined {
    return this.#entries.get(key.toString("latin1"))?.value;
  }

  delete(key: Buffer): ErrnoName | undefined {
    return this.#entries.delete(key.toString("latin1")) ? undefined : "ENOENT";
  }

  entries(): readonly Entry[] {
    return [...this.#entries.values()];
  }
}

/** All entries always exist; those never written are zeros and take no memory here. */
class ArrayStore implements MapStore {
  readonly #values = new Map<number, Buffer>();
  readonly #maxEntries: number;
  readonly #valueSize: number;

  constructor(maxEntries: number, valueSize: number) {
    this.#maxEntries = maxEntries;
    this.#valueSize = valueSize;
  }

  update(key: Buffer, value: Buffer, mode: UpdateMode): ErrnoName | undefined {
    const index = key.readUInt32LE(0);
    if (index >= this.#maxEntries) return "E2BIG";
    if (mode === "noexist") return "EEXIST";
    this.#values.set(index, Buffer.from(value));
    return undefined;
  }

  lookup(key: Buffer): Buffer | undefined {
    const index = key.readUInt32LE(0);
    return index < this.#maxEntries ? this.#at(index) : undefined;
  }

  delete(): ErrnoName {
    return "EINVAL";
  }

  entries(): readonly Entry[] {
    return Array.from({ length: this.#maxEntries }, (_, index) => {
      const key = Buffer.allocUnsafe(4);
      key.writeUInt32LE(index);
      return { key, value: this.#at(index) };
    });
  }

  #at(index: number): Buffer {
    return this.#values.get(index) ?? Buffer.alloc(this.#valueSize);
  }
}

/** Keys begin with the number of bits that count; a lookup finds the longest prefix that matches. */
class LpmStore implements MapStore {
  /** Prefix length → masked bits → entry. */
  readonly #byLength = new Map<number, Map<string, Entry>>();
  readonly #maxEntries: number;
  readonly #maxBits: number;
  #size = 0;

  constructor(maxEntries: number, keySize: number) {
    this.#maxEntries = maxEntries;
    this.#maxBits = (keySize - 4) * 8;
  }

  update(key: Buffer, value: Buffer, mode: UpdateMode): ErrnoName | undefined {
    const length = key.readUInt32LE(0);
    if (length > this.#maxBits) return "EINVAL";
    const bits = masked(key, length);
    const table = this.#byLength.get(length) ?? new Map<string, Entry>();
    const present = table.has(bits);
    const errno = refusal(mode, present);
    if (errno !== undefined) return errno;
    if (!present && this.#size >= this.#maxEntries) return "ENOSPC";
    if (!present) this.#size++;
    this.#byLength.set(length, table);
    table.set(bits, { key: Buffer.from(key), value: Buffer.from(value) });
    return undefined;
  }

  lookup(key: Buffer): Buffer | undefined {
    const longest = key.readUInt32LE(0);
    if (longest > this.#maxBits) return undefined;
    const lengths = [...this.#byLength.keys()].filter((length) => length <= longest).sort((a, b) => b - a);
    for (const length of lengths) {
      const entry = this.#byLength.get(length)?.get(masked(key, length));
      if (entry !== undefined) return entry.value;
    }
    return undefined;
  }

  delete(key: Buffer): ErrnoName | undefined {
    const length = key.readUInt32LE(0);
    if (length > this.#maxBits) return "EINVAL";
    if (this.#byLength.get(length)?.delete(masked(key, length)) !== true) return "ENOENT";
    this.#size--;
    return undefined;
  }

  entries(): readonly Entry[] {
    return [...this.#byLength.values()].flatMap((table) => [...table.values()]);
  }
}

function masked(key: Buffer, length: number): string {
  const bits = Buffer.from(key.subarray(4));
  maskBytes(bits, length);
  return bits.toString("latin1");
}
