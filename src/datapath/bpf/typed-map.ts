/** Typed access on top of any raw map. No FFI here: the fake datapath uses it too. */
import { DatapathError, MapLayoutError } from "../errors.ts";
import type { BpfMap, Codec, MapInfo, PackedEntries, RawMap, TypedMapSpec, UpdateMode } from "../types.ts";
import { isPerCpu, perCpuStride } from "./map-values.ts";

/** Encoded at a time, twice: a table of thousands of large values need not exist twice. */
const CHUNK_BYTES = 8 << 20;
/** Few enough that the kernel soon has the first ones, many enough that a call on another thread is worth it. */
const CHUNK_ROWS = 8192;

/**
 * Puts codecs on a raw map. Closing it closes the raw map.
 * @param cpus number of possible CPUs, for per-CPU maps
 * @throws MapLayoutError when the map's key or value size is not the codecs'
 */
export function createTypedMap<K, V>(raw: RawMap, spec: TypedMapSpec<K, V>, cpus: number): BpfMap<K, V> {
  const { type, maxEntries } = raw.spec;
  const flags = raw.spec.flags ?? 0;
  const expected = { type: spec.type, keySize: spec.key.size, valueSize: spec.value.size, maxEntries, flags };
  const actual = { type, keySize: raw.spec.keySize, valueSize: raw.spec.valueSize, maxEntries, flags };
  if (type !== spec.type || actual.keySize !== spec.key.size || actual.valueSize !== spec.value.size) {
    throw new MapLayoutError({ operation: "use codecs on", object: `map ${spec.name}`, expected, actual });
  }
  return new TypedMap(raw, spec, cpus);
}

class TypedMap<K, V> implements BpfMap<K, V> {
  readonly spec: TypedMapSpec<K, V>;
  readonly raw: RawMap;
  readonly #cpus: number;

  constructor(raw: RawMap, spec: TypedMapSpec<K, V>, cpus: number) {
    this.raw = raw;
    this.spec = spec;
    this.#cpus = cpus;
  }

  get info(): MapInfo {
    return this.raw.info;
  }

  update(key: K, value: V, mode?: UpdateMode): void {
    this.raw.update(encode(this.spec.key, key), this.#encodeValue(value), mode);
  }

  lookup(key: K): V | undefined {
    this.#requirePerCpu(false, "look up one value in");
    const value = this.raw.lookup(encode(this.spec.key, key));
    return value === undefined ? undefined : this.spec.value.decode(value, 0);
  }

  lookupPerCpu(key: K): readonly V[] | undefined {
    this.#requirePerCpu(true, "look up per CPU in");
    const value = this.raw.lookup(encode(this.spec.key, key));
    return value === undefined ? undefined : this.#decodePerCpu(value);
  }

  delete(key: K): boolean {
    return this.raw.delete(encode(this.spec.key, key));
  }

  async updateBatch(entries: readonly (readonly [K, V])[]): Promise<void> {
    const entryBytes = this.spec.keySize + this.#valueStride * this.#copies;
    const chunk = Math.max(1, Math.min(CHUNK_ROWS, Math.floor(CHUNK_BYTES / entryBytes)));
    // While one chunk is written the next one is encoded; no two are written at a time.
    let written: Promise<void> | undefined;
    try {
      for (let start = 0; start < entries.length; start += chunk) {
        const { keys, values } = this.packRows(
          entries.slice(start, start + chunk),
          ([key]) => key,
          ([, value]) => value,
        );
        await written;
        written = this.raw.updatePacked(keys, values);
      }
    } finally {
      // Also when a row cannot be encoded: nothing is under way any more when this is over.
      await written;
    }
  }

  packRows<R>(rows: readonly R[], toKey: (row: R) => K, toValue: (row: R) => V): PackedEntries {
    const { key, keySize, value } = this.spec;
    const stride = this.#valueStride;
    const copies = this.#copies;
    const keys = Buffer.alloc(rows.length * keySize);
    const values = Buffer.alloc(rows.length * stride * copies);
    let at = 0;
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!;
      key.encode(toKey(row), keys, i * keySize);
      const encoded = toValue(row);
      for (let copy = 0; copy < copies; copy++, at += stride) value.encode(encoded, values, at);
    }
    return { keys, values };
  }

  deleteBatch(keys: readonly K[]): Promise<number> {
    return this.raw.deleteBatch(encodeAll(this.spec.key, keys));
  }

  async keys(): Promise<readonly K[]> {
    return (await this.raw.keys()).map((key) => this.spec.key.decode(key, 0));
  }

  async entries(): Promise<readonly (readonly [K, V])[]> {
    this.#requirePerCpu(false, "list single values of");
    const entries = await this.raw.entries();
    return entries.map(({ key, value }) => [this.spec.key.decode(key, 0), this.spec.value.decode(value, 0)]);
  }

  async entriesPerCpu(): Promise<readonly (readonly [K, readonly V[]])[]> {
    this.#requirePerCpu(true, "list per CPU");
    const entries = await this.raw.entries();
    return entries.map(({ key, value }) => [this.spec.key.decode(key, 0), this.#decodePerCpu(value)]);
  }

  close(): void {
    this.raw.close();
  }

  /** Bytes from one copy of a value to the next. */
  get #valueStride(): number {
    return isPerCpu(this.spec.type) ? perCpuStride(this.spec.valueSize) : this.spec.valueSize;
  }

  /** A per-CPU map gets the same value on every CPU. */
  get #copies(): number {
    return isPerCpu(this.spec.type) ? this.#cpus : 1;
  }

  /** As it is given to the kernel. */
  #encodeValue(value: V): Buffer {
    const stride = this.#valueStride;
    const buffer = Buffer.alloc(stride * this.#copies);
    for (let at = 0; at < buffer.length; at += stride) this.spec.value.encode(value, buffer, at);
    return buffer;
  }

  #decodePerCpu(value: Buffer): readonly V[] {
    const stride = perCpuStride(this.spec.valueSize);
    return Array.from({ length: this.#cpus }, (_, cpu) => this.spec.value.decode(value, cpu * stride));
  }

  /** One CPU's value passed off as the whole would be a silent lie; better to say which call fits. */
  #requirePerCpu(wanted: boolean, operation: string): void {
    if (isPerCpu(this.spec.type) === wanted) return;
    throw new DatapathError({
      operation,
      object: `map ${this.spec.name}`,
      detail: wanted ? "it is no per-CPU map" : "it is a per-CPU map; ask for the values per CPU",
      status: "INVALID_ARGUMENT",
    });
  }
}

function encode<T>(codec: Codec<T>, value: T): Buffer {
  const buffer = Buffer.alloc(codec.size);
  codec.encode(value, buffer, 0);
  return buffer;
}

/** Encodes into one allocation: a buffer each is what costs in batches of 100,000. */
function encodeAll<T>(codec: Codec<T>, values: readonly T[]): Buffer[] {
  const all = Buffer.alloc(codec.size * values.length);
  return values.map((value, i) => {
    codec.encode(value, all, i * codec.size);
    return all.subarray(i * codec.size, (i + 1) * codec.size);
  });
}
