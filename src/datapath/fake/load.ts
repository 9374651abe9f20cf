import { DatapathError, layoutDifference, type MapLayout, MapLayoutError } from "../errors.ts";
import { type Collection, type CollectionSpec, type MapSpec, MapType } from "../types.ts";
import type { Declarations } from "./c/declarations.ts";
import { failure } from "./errno.ts";
import type { Handles } from "./handles.ts";
import type { FakeKernel } from "./kernel.ts";
import { asFakeMap, FakeMap, userValueSize } from "./map.ts";
import type { MapObject } from "./objects.ts";
import { FakeProgram } from "./program.ts";

/** The content of a compiled object. @throws DatapathError ENOENT for a path that the fake compiler did not give */
export function readObject(kernel: FakeKernel, path: string): Declarations {
  const object = kernel.objects.get(path);
  if (object !== undefined) return object;
  throw failure("open object", path, "ENOENT");
}

/** Loads programs as records, after the checks that libbpf makes. @throws DatapathError, MapLayoutError */
export function loadCollection(kernel: FakeKernel, handles: Handles, spec: CollectionSpec): Collection {
  kernel.faults.check("load", spec.object);
  const object = readObject(kernel, spec.object);
  const chosen = choosePrograms(object, spec);
  const constants = encodeConstants(object, spec);
  const created = new Map<string, FakeMap>();
  try {
    const maps = collectMaps(kernel, handles, object, spec, created);
    const programs = new Map(
      chosen.map(({ name, section, insns }) => {
        const record = kernel.createProgram({ name, section, insns, object: spec.object, constants, maps });
        return [name, new FakeProgram(kernel, handles, record)] as const;
      }),
    );
    const stats = chosen.map(({ name, insns }) => [name, { insnsProcessed: insns, stackDepth: 0 }] as const);
    return {
      programs,
      maps: created,
      stats: new Map(spec.verifierStats === true ? stats : []),
      close: () => {
        for (const handle of [...programs.values(), ...created.values()]) handle.close();
      },
    };
  } catch (error) {
    for (const map of created.values()) map.close();
    throw error;
  }
}

function choosePrograms(object: Declarations, spec: CollectionSpec): Declarations["programs"] {
  const known = object.programs.map((program) => program.name);
  const wanted = spec.programs ?? known;
  const unknown = wanted.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new DatapathError({
      operation: "load",
      object: spec.object,
      detail: `no program ${unknown.join(", ")}; there are: ${known.join(", ") || "none"}`,
      status: "NOT_FOUND",
    });
  }
  const skipped = spec.skipPrograms ?? [];
  return object.programs.filter(({ name }) => wanted.includes(name) && !skipped.includes(name));
}

function encodeConstants(object: Declarations, spec: CollectionSpec): ReadonlyMap<string, Buffer> {
  const sizes = new Map(object.constants.map((constant) => [constant.name, constant.size]));
  return new Map(
    Object.entries(spec.constants ?? {}).map(([name, value]) => {
      const size = sizes.get(name);
      if (size === undefined) throw badConstant(spec, name, "no such constant");
      return [name, encodeConstant(spec, name, value, size)];
    }),
  );
}

function encodeConstant(
  spec: CollectionSpec,
  name: string,
  value: number | bigint | Buffer,
  size: number,
): Buffer {
  if (Buffer.isBuffer(value)) {
    if (value.length === size) return Buffer.from(value);
    throw badConstant(spec, name, `${value.length} bytes given, ${size} wanted`);
  }
  const bits = BigInt(size * 8);
  const number = BigInt(value);
  if (size > 8 || number >= 1n << bits || number < -(1n << (bits - 1n))) {
    throw badConstant(spec, name, `${value} does not fit ${size} bytes`);
  }
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, number));
  return bytes.subarray(0, size);
}

function collectMaps(
  kernel: FakeKernel,
  handles: Handles,
  object: Declarations,
  spec: CollectionSpec,
  created: Map<string, FakeMap>,
): ReadonlyMap<string, MapObject> {
  const maps = new Map<string, MapObject>();
  for (const declared of object.maps) {
    const given = spec.maps?.[declared.name];
    if (given !== undefined) {
      const actual = layoutOf(given.spec);
      // How many entries a map holds is the agent's configuration.
      const expected = { ...layoutOf(declared), maxEntries: actual.maxEntries };
      if (layoutDifference(expected, actual) !== "") {
        throw new MapLayoutError({
          operation: "load",
          object: `map ${declared.name} of ${spec.object}`,
          expected,
          actual,
        });
      }
      maps.set(declared.name, asFakeMap(given).object);
      continue;
    }
    const sized =
      declared.type === MapType.perfEventArray && declared.maxEntries === 0
        ? { ...declared, maxEntries: kernel.cpus }
        : declared;
    const map = kernel.createMap(sized, userValueSize(sized, kernel.cpus));
    created.set(declared.name, new FakeMap(kernel, handles, map, declared.name));
    maps.set(declared.name, map);
  }
  return maps;
}

/** The layout of a map or a declaration, for comparison. */
export function layoutOf(spec: MapSpec): MapLayout {
  const { type, keySize, valueSize, maxEntries, flags } = spec;
  return { type, keySize, valueSize, maxEntries, flags: flags ?? 0 };
}

function badConstant(spec: CollectionSpec, name: string, detail: string): DatapathError {
  return new DatapathError({
    operation: "set constant",
    object: `${name} of ${spec.object}`,
    detail,
    status: "INVALID_ARGUMENT",
  });
}
