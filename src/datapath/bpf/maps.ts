/** Creating and opening maps. */
import { constants } from "node:os";
import { basename } from "node:path";
import { DatapathError, layoutDifference, type MapLayout, MapLayoutError } from "../errors.ts";
import type { MapSpec } from "../types.ts";
import { checked } from "./check.ts";
import { OwnedFd } from "./fd.ts";
import { requireKind } from "./fd-kind.ts";
import { bpf_obj_get } from "./ffi/common.ts";
import { bpf_map_create, mapCreateOpts } from "./ffi/map.ts";
import { KernelMap } from "./map.ts";

const { ENOENT, EEXIST } = constants.errno;

/** The kernel keeps 15 bytes of a name and refuses longer ones. */
const KERNEL_NAME_BYTES = 15;

/** @throws DatapathError */
export function createMap(spec: MapSpec): KernelMap {
  if (spec.inner === undefined) return create(spec, 0);
  // The kernel copies what it needs to know of the template.
  const template = create(spec.inner, 0);
  try {
    return create(spec, template.fd);
  } finally {
    template.close();
  }
}

function create(spec: MapSpec, innerMapFd: number): KernelMap {
  const object = `map ${spec.name}`;
  const fd = checked(
    bpf_map_create(
      spec.type,
      spec.name.slice(0, KERNEL_NAME_BYTES),
      spec.keySize,
      spec.valueSize,
      spec.maxEntries,
      mapCreateOpts({ flags: spec.flags ?? 0, innerMapFd }),
    ),
    "create",
    object,
  );
  return ownMap(new OwnedFd(fd, object), spec.name);
}

/**
 * The map pinned at `path`, or undefined when nothing is there. Its name is the pin's where the two agree
 * as far as the kernel remembers it.
 * @throws DatapathError when something else than a map is pinned there
 */
export function openPinnedMap(path: string, name?: string): KernelMap | undefined {
  const object = `map pinned at ${path}`;
  const fd = bpf_obj_get(path);
  if (fd === -ENOENT) return undefined;
  const owned = new OwnedFd(checked(fd, "open", object), object);
  return ownMap(owned, name ?? basename(path), path);
}

/** @throws MapLayoutError when a map with another layout is pinned there, DatapathError */
export function ensurePinnedMap(spec: MapSpec, path: string): KernelMap {
  const existing = openPinnedMap(path, spec.name);
  if (existing !== undefined) return fitting(existing, spec, path);
  const created = createMap(spec);
  try {
    created.pin(path);
    return created;
  } catch (error) {
    created.close();
    // Another process pinned one between our look and our pin: share it.
    if (!(error instanceof DatapathError) || error.errno !== EEXIST) throw error;
    const theirs = openPinnedMap(path, spec.name);
    if (theirs === undefined) throw error;
    return fitting(theirs, spec, path);
  }
}

/** The layout of a map or a declaration, for comparison. */
export function layoutOf(spec: MapSpec): MapLayout {
  const { type, keySize, valueSize, maxEntries, flags } = spec;
  return { type, keySize, valueSize, maxEntries, flags: flags ?? 0 };
}

function fitting(map: KernelMap, spec: MapSpec, path: string): KernelMap {
  const expected = layoutOf(spec);
  const actual = layoutOf(map.spec);
  if (layoutDifference(expected, actual) === "") return map;
  map.close();
  throw new MapLayoutError({ operation: "use pinned map", object: path, expected, actual });
}

/** `path`: where a pin was opened whose kind is still to be seen. */
function ownMap(fd: OwnedFd, name: string, path?: string): KernelMap {
  try {
    if (path !== undefined) requireKind(fd.number, "map", path);
    return new KernelMap(fd, name);
  } catch (error) {
    fd.close();
    throw error;
  }
}
