/** Setting `const volatile` variables before a load, so that the verifier and the JIT see constants. */
import { DatapathError } from "../errors.ts";
import { checked } from "./check.ts";
import { copyFrom } from "./ffi/memory.ts";
import {
  bpf_map__initial_value,
  bpf_map__is_internal,
  bpf_map__set_initial_value,
  type ObjectMapPointer,
} from "./ffi/object.ts";
import type { ConstantPlace } from "./object-contents.ts";
import { sectionOf } from "./object-contents.ts";

export type ConstantValue = number | bigint | Buffer;

/**
 * Writes the values into the object's `.rodata*` sections.
 * @param path names the object in errors
 * @throws DatapathError for unknown names, values that do not fit, buffers of another size
 */
export function setConstants(
  maps: readonly ObjectMapPointer[],
  places: readonly ConstantPlace[],
  values: Readonly<Record<string, ConstantValue>>,
  path: string,
): void {
  const placeByName = new Map(places.map((place) => [place.name, place]));
  const mapBySection = new Map(maps.filter(bpf_map__is_internal).map((map) => [sectionOf(map), map]));
  const patched = new Map<ObjectMapPointer, Buffer>();
  for (const [name, value] of Object.entries(values)) {
    const place = placeByName.get(name);
    const map = place === undefined ? undefined : mapBySection.get(place.section);
    if (place === undefined || map === undefined) throw unknownConstant(name, places, path);
    let data = patched.get(map);
    if (data === undefined) {
      data = initialValue(map, path);
      patched.set(map, data);
    }
    writeConstant(data, place, value, path);
  }
  for (const [map, data] of patched) {
    checked(
      bpf_map__set_initial_value(map, data, data.length),
      "set constants of",
      `${sectionOf(map)} of ${path}`,
    );
  }
}

function initialValue(map: ObjectMapPointer, path: string): Buffer {
  const size = Buffer.alloc(8);
  const data = bpf_map__initial_value(map, size);
  if (data === null) {
    throw new DatapathError({ operation: "read constants of", object: `${sectionOf(map)} of ${path}` });
  }
  return copyFrom(data, Number(size.readBigUInt64LE(0)));
}

/** Little endian, as everything loaded into the kernel of a little-endian machine. */
function writeConstant(data: Buffer, place: ConstantPlace, value: ConstantValue, path: string): void {
  const { name, offset, size } = place;
  const object = `constant ${name} of ${path}`;
  const invalid = (detail: string) =>
    new DatapathError({ operation: "set", object, detail, status: "INVALID_ARGUMENT" });
  if (Buffer.isBuffer(value)) {
    if (value.length !== size) throw invalid(`${value.length} bytes given, it has ${size}`);
    value.copy(data, offset);
    return;
  }
  if (![1, 2, 4, 8].includes(size)) throw invalid(`it has ${size} bytes: give a buffer, not a number`);
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw invalid(`${value} is no integer`);
  const number = BigInt(value);
  const bits = BigInt(8 * size);
  if (number < -(1n << (bits - 1n)) || number >= 1n << bits)
    throw invalid(`${value} does not fit in ${size} bytes`);
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, number));
  bytes.copy(data, offset, 0, size);
}

function unknownConstant(name: string, places: readonly ConstantPlace[], path: string): DatapathError {
  const known = places.map((place) => place.name).join(", ") || "none";
  return new DatapathError({
    operation: "set",
    object: `constant ${name} of ${path}`,
    detail: `no such variable in .rodata; there are: ${known}`,
    status: "INVALID_ARGUMENT",
  });
}
