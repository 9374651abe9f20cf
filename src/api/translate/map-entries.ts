import { endianness } from "node:os";
import { formatCidr, ipBytes, ipFromBytes } from "../../datapath/address.ts";
import { type MapSpec, MapType, type RawMap } from "../../datapath/types.ts";
import type { PluginMapEntry, PluginMapKey } from "../../gen/waggle/v1/plugin.ts";
import type { PageCursor } from "../runtime/index.ts";
import { takePage } from "../runtime/index.ts";
import { readPrefix } from "../validate/network.ts";
import type { Violations } from "../validate/violations.ts";

const little = endianness() === "LE";

/** The kernel's words for map types, as bpftool prints them. */
const typeNames: ReadonlyMap<number, string> = new Map([
  [MapType.hash, "hash"],
  [MapType.array, "array"],
  [MapType.progArray, "prog_array"],
  [MapType.perfEventArray, "perf_event_array"],
  [MapType.percpuHash, "percpu_hash"],
  [MapType.percpuArray, "percpu_array"],
  [MapType.lruHash, "lru_hash"],
  [MapType.lpmTrie, "lpm_trie"],
  [MapType.arrayOfMaps, "array_of_maps"],
  [MapType.ringbuf, "ringbuf"],
]);

const withoutEntries: ReadonlySet<number> = new Set([
  MapType.progArray,
  MapType.perfEventArray,
  MapType.ringbuf,
]);

/** "lpm_trie"; "type 99" for one that has no name here. */
export function mapTypeName(type: number): string {
  return typeNames.get(type) ?? `type ${type}`;
}

/** Whether a map has entries that user space can read. */
export function isListable({ type }: Pick<MapSpec, "type">): boolean {
  return !withoutEntries.has(type);
}

const arrays: ReadonlySet<number> = new Set([MapType.array, MapType.percpuArray, MapType.arrayOfMaps]);

/** Whether keys are indices, and every index below the map's size has a value. */
export function isArray({ type }: Pick<MapSpec, "type">): boolean {
  return arrays.has(type);
}

/** The index that a key of an array is. */
export function arrayIndex(key: Buffer): number {
  return little ? key.readUInt32LE(0) : key.readUInt32BE(0);
}

/** Whether nobody has written to a slot of an array: the kernel makes them as zeros, and programs read that as nothing. */
export function isEmptySlot({ value }: RawEntry, spec: Pick<MapSpec, "type">): boolean {
  return isArray(spec) && value.every((byte) => byte === 0);
}

/** Whether every CPU has a value of its own. */
export function isPerCpu({ type }: Pick<MapSpec, "type">): boolean {
  return type === MapType.percpuHash || type === MapType.percpuArray;
}

/** Bytes between two CPUs' values: the kernel rounds up to 8 (kernel/bpf/syscall.c). */
export function perCpuStride({ valueSize }: Pick<MapSpec, "valueSize">): number {
  return Math.ceil(valueSize / 8) * 8;
}

/** Of what family the keys of a map are prefixes: `struct bpf_lpm_trie_key` with 4 or 16 bytes of data. */
function prefixFamily({ type, keySize }: Pick<MapSpec, "type" | "keySize">): 4 | 6 | undefined {
  if (type !== MapType.lpmTrie) return undefined;
  return keySize === 8 ? 4 : keySize === 20 ? 6 : undefined;
}

/** A raw entry of a map. */
export interface RawEntry {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** One page of a map in the order of its key bytes. Reads the whole map, which has no order of its own. */
export async function pageOfMap(
  map: RawMap,
  page: PageCursor,
): Promise<{ readonly items: readonly RawEntry[]; readonly nextPageToken: string }> {
  return takePage(await map.entries(), ({ key }) => key.toString("hex"), page);
}

/** "10.0.0.0/8" or "fd00::/8" of the key of a map with prefix keys. The length is in the machine's byte order. */
function keyToPrefix(key: Buffer): string {
  const length = little ? key.readUInt32LE(0) : key.readUInt32BE(0);
  return formatCidr({ address: ipFromBytes(key.subarray(4)), prefixLength: length });
}

function prefixToKey(address: string, length: number): Buffer {
  const prefixLength = Buffer.alloc(4);
  if (little) prefixLength.writeUInt32LE(length);
  else prefixLength.writeUInt32BE(length);
  return Buffer.concat([prefixLength, ipBytes(address)]);
}

/** Reads a key in either form; undefined when it is none of this map's. */
export function readMapKey(
  field: string,
  message: PluginMapKey | undefined,
  spec: MapSpec,
  violations: Violations,
): Buffer | undefined {
  const key = message?.key;
  switch (key?.$case) {
    case "raw":
      if (key.value.length !== spec.keySize) {
        violations.add(
          `${field}.raw`,
          `${key.value.length} bytes; keys of ${spec.name} have ${spec.keySize}`,
        );
        return undefined;
      }
      return key.value;
    case "cidr": {
      const family = prefixFamily(spec);
      if (family === undefined) {
        violations.add(
          `${field}.cidr`,
          `${spec.name} is no LPM trie over addresses but a ${mapTypeName(spec.type)} with keys of ${spec.keySize} bytes`,
        );
        return undefined;
      }
      const prefix = readPrefix(`${field}.cidr`, key.value, violations, {
        only: family,
        addressAllowed: true,
      });
      return prefix && prefixToKey(prefix.address, prefix.length);
    }
    default:
      violations.add(field, "required: raw or cidr");
      return undefined;
  }
}

/** Reads an entry to be written. */
export function readMapEntry(
  field: string,
  message: PluginMapEntry,
  spec: MapSpec,
  violations: Violations,
): RawEntry | undefined {
  const key = readMapKey(`${field}.key`, message.key, spec, violations);
  const value =
    message.value.length === 0 && message.key?.key?.$case === "cidr" ? present(spec) : message.value;
  if (value.length !== spec.valueSize) {
    violations.add(`${field}.value`, `${value.length} bytes; values of ${spec.name} have ${spec.valueSize}`);
    return undefined;
  }
  return key && { key, value };
}

/** The value of an entry that matters only by being there: not all zero, for C code that looks. */
function present(spec: MapSpec): Buffer {
  const value = Buffer.alloc(spec.valueSize);
  if (value.length > 0) value[0] = 1;
  return value;
}

/** The message of a raw entry. */
export function mapEntryToMessage({ key, value }: RawEntry, spec: MapSpec): PluginMapEntry {
  return {
    key: {
      key:
        prefixFamily(spec) === undefined
          ? { $case: "raw", value: key }
          : { $case: "cidr", value: keyToPrefix(key) },
    },
    value,
  };
}
