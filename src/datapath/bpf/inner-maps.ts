/** Maps in the slots of an array of maps. */
import { constants } from "node:os";
import { DatapathError } from "../errors.ts";
import { MapType, type RawMap } from "../types.ts";
import { checked } from "./check.ts";
import { OwnedFd } from "./fd.ts";
import { callAsync } from "./ffi/async.ts";
import { bpf_map_delete_elem, bpf_map_update_elem } from "./ffi/map.ts";
import { asKernelMap } from "./map.ts";

const { ENOENT } = constants.errno;

/**
 * The kernel ends the call with a grace period (`maybe_wait_bpf_programs`, kernel/bpf/syscall.c): it is made on a
 * worker thread, with descriptors of its own.
 * @throws DatapathError
 */
export async function setInnerMap(outer: RawMap, slot: number, inner: RawMap): Promise<void> {
  const object = requireSlot(outer, slot);
  const map = asKernelMap(inner);
  const held = OwnedFd.duplicate(map.fd, map.label);
  try {
    await withMap(outer, async (fd) =>
      checked(
        await callAsync(bpf_map_update_elem, fd, word(slot), word(held.number), 0),
        "put map into",
        object,
        map.label,
      ),
    );
  } finally {
    held.close();
  }
}

/** Waits as `setInnerMap` does; an empty slot is no error. @throws DatapathError */
export async function clearInnerMap(outer: RawMap, slot: number): Promise<void> {
  const object = requireSlot(outer, slot);
  await withMap(outer, async (fd) => {
    const result = await callAsync(bpf_map_delete_elem, fd, word(slot));
    if (result !== -ENOENT) checked(result, "empty", object);
  });
}

/** Runs with a descriptor that stays open whatever becomes of the map's. */
async function withMap(map: RawMap, run: (fd: number) => Promise<unknown>): Promise<void> {
  const { fd, label } = asKernelMap(map);
  const held = OwnedFd.duplicate(fd, label);
  try {
    await run(held.number);
  } finally {
    held.close();
  }
}

/** The slot as errors name it. @throws DatapathError for a map of another type, and slots it has not got */
function requireSlot(outer: RawMap, slot: number): string {
  const object = `slot ${slot} of map ${outer.spec.name}`;
  const invalid = (detail: string): DatapathError =>
    new DatapathError({ operation: "use", object, detail, status: "INVALID_ARGUMENT" });
  if (outer.spec.type !== MapType.arrayOfMaps)
    throw invalid(`its type is ${outer.spec.type}, no array of maps`);
  if (!Number.isInteger(slot) || slot < 0 || slot >= outer.spec.maxEntries) {
    throw invalid(`there are ${outer.spec.maxEntries}`);
  }
  return object;
}

function word(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}
