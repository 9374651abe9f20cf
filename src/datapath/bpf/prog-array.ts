/** Programs in the slots of a PROG_ARRAY. */
import { DatapathError } from "../errors.ts";
import { MapType, type Program, type RawMap } from "../types.ts";
import { asKernelMap } from "./map.ts";
import { asKernelProgram } from "./program.ts";

/** Replaces what the slot held in one step: a packet meets the old program or the new one. @throws DatapathError */
export function setProgram(array: RawMap, slot: number, program: Program): void {
  requireProgArray(array);
  try {
    asKernelMap(array).update(word(slot), word(asKernelProgram(program).fd));
  } catch (error) {
    if (!(error instanceof DatapathError) || error.errno === undefined) throw error;
    throw new DatapathError({
      operation: "put program into",
      object: `slot ${slot} of map ${array.spec.name}`,
      errno: error.errno,
      detail: `program ${program.name}`,
      cause: error,
    });
  }
}

/** Empties the slot; an empty one is no error. @throws DatapathError */
export function clearProgram(array: RawMap, slot: number): void {
  requireProgArray(array);
  asKernelMap(array).delete(word(slot));
}

/** Ids by slot; a system call a slot. @throws DatapathError */
export function programIds(array: RawMap): ReadonlyMap<number, number> {
  requireProgArray(array);
  const map = asKernelMap(array);
  const ids = new Map<number, number>();
  for (let slot = 0; slot < map.spec.maxEntries; slot++) {
    const id = map.lookup(word(slot));
    if (id !== undefined) ids.set(slot, id.readUInt32LE(0));
  }
  return ids;
}

function word(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}

function requireProgArray(array: RawMap): void {
  if (array.spec.type === MapType.progArray) return;
  throw new DatapathError({
    operation: "use as PROG_ARRAY",
    object: `map ${array.spec.name}`,
    detail: `its type is ${array.spec.type}`,
    status: "INVALID_ARGUMENT",
  });
}
