import { basename } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { createTypedMap } from "../bpf/typed-map.ts";
import { DatapathError, layoutDifference, MapLayoutError } from "../errors.ts";
import {
  type AttachMode,
  type BpfOps,
  type MapSpec,
  MapType,
  type ObjectDescription,
  type ProgramEffects,
  type RawMap,
} from "../types.ts";
import { attach, openAttachment } from "./attach.ts";
import { attachCgroup, openCgroupAttachment } from "./cgroup.ts";
import { failure } from "./errno.ts";
import type { Handles } from "./handles.ts";
import type { FakeKernel } from "./kernel.ts";
import { layoutOf, loadCollection, readObject } from "./load.ts";
import { asFakeMap, FakeMap, userValueSize } from "./map.ts";
import type { MapObject } from "./objects.ts";
import type { Pinned } from "./pins.ts";
import { asFakeProgram, FakeProgram } from "./program.ts";

/** `BpfOps` on a fake kernel. What is opened through it is closed with `handles`. */
export function createFakeBpfOps(
  kernel: FakeKernel,
  handles: Handles,
  attachModes: readonly AttachMode[],
): BpfOps {
  const { faults, pins } = kernel;

  const createMap = (spec: MapSpec): FakeMap => {
    faults.check("createMap", spec.name);
    checkMapSpec(spec);
    const map = kernel.createMap(spec, userValueSize(spec, kernel.cpus));
    return new FakeMap(kernel, handles, map, spec.name);
  };

  const openMap = (path: string, name: string): FakeMap | undefined => {
    const pinned = pins.get(path);
    if (pinned === undefined) return undefined;
    return new FakeMap(kernel, handles, requireKind(pinned, "map", path).object, name);
  };

  return {
    cpus: kernel.cpus,
    attachModes: () => attachModes,
    ensureBpffs(path) {
      faults.check("ensureBpffs", path);
      return pins.mount(path);
    },
    unmountBpffs: (path) => pins.unmount(path),
    createMap,
    ensurePinnedMap(spec, path) {
      faults.check("ensurePinnedMap", path);
      const existing = openMap(path, spec.name);
      if (existing === undefined) return createPinned(createMap, spec, path);
      const [expected, actual] = [layoutOf(spec), layoutOf(existing.spec)];
      if (layoutDifference(expected, actual) === "") return existing;
      existing.close();
      throw new MapLayoutError({ operation: "use pinned map", object: path, expected, actual });
    },
    openPinnedMap(path) {
      faults.check("openPinnedMap", path);
      return openMap(path, basename(path));
    },
    typed: (raw, spec) => createTypedMap(raw, spec, kernel.cpus),
    describeObject(path): ObjectDescription {
      faults.check("describeObject", path);
      const { structs, ...content } = readObject(kernel, path);
      return { ...content, struct: (name) => structs.find((struct) => struct.name === name) };
    },
    load: (spec) => loadCollection(kernel, handles, spec),
    loadAside: async (spec) => loadCollection(kernel, handles, spec),
    async verify(spec) {
      const collection = loadCollection(kernel, handles, spec);
      collection.close();
      // Code is not looked at: it may do anything.
      const unknown: ProgramEffects = { writesPackets: true, controlStores: [] };
      return new Map(Array.from(collection.programs.keys(), (name) => [name, unknown]));
    },
    openPinnedProgram(path) {
      faults.check("openPinnedProgram", path);
      const pinned = pins.get(path);
      if (pinned === undefined) return undefined;
      return new FakeProgram(kernel, handles, requireKind(pinned, "program", path).object);
    },
    programById(id) {
      const program = kernel.program(id);
      return program === undefined ? undefined : new FakeProgram(kernel, handles, program);
    },
    setProgram(array, slot, program) {
      const object = `slot ${slot} of map ${array.spec.name}`;
      faults.check("setProgram", object);
      const map = progArray(array);
      if (slot < 0 || slot >= array.spec.maxEntries) throw failure("put program into", object, "E2BIG");
      map.setSlot(slot, asFakeProgram(program).object);
    },
    clearProgram(array, slot) {
      faults.check("clearProgram", `slot ${slot} of map ${array.spec.name}`);
      progArray(array).clearSlot(slot);
    },
    programIds(array) {
      const slots = [...progArray(array).slots].sort(([a], [b]) => a - b);
      return new Map(slots.map(([slot, program]) => [slot, program.id]));
    },
    async setInnerMap(outer, slot, inner) {
      faults.check("setInnerMap", `slot ${slot} of map ${outer.spec.name}`);
      const array = arrayOfMaps(outer, slot);
      if (!isLike(array.spec.inner, inner.spec)) {
        throw failure("put map into", `slot ${slot} of map ${outer.spec.name}`, "EINVAL", inner.spec.name);
      }
      array.setInner(slot, asFakeMap(inner).object);
    },
    async clearInnerMap(outer, slot) {
      faults.check("clearInnerMap", `slot ${slot} of map ${outer.spec.name}`);
      arrayOfMaps(outer, slot).clearInner(slot);
    },
    attach: (spec, program) => attach(kernel, handles, spec, program),
    async attachAside(spec, program) {
      faults.check("attachAside", `${spec.direction} of interface ${spec.ifindex}`);
      await nextTurn();
      return attach(kernel, handles, spec, program);
    },
    async detachAside(spec) {
      faults.check("detachAside", `${spec.direction} of interface ${spec.ifindex}`);
      await nextTurn();
      openAttachment(kernel, handles, spec)?.detach();
    },
    openAttachment: (spec) => openAttachment(kernel, handles, spec),
    findCgroup2: () => [...kernel.cgroupMounts][0],
    ensureCgroup2(path) {
      faults.check("ensureCgroup2", path);
      if (kernel.cgroupMounts.has(path)) return false;
      kernel.cgroupMounts.add(path);
      return true;
    },
    unmountCgroup2(path) {
      kernel.cgroupMounts.delete(path);
    },
    attachCgroup: (spec, program) => attachCgroup(kernel, handles, spec, program),
    openCgroupAttachment: (spec) => openCgroupAttachment(kernel, handles, spec),
    async quiesce() {
      faults.check("quiesce", "programs");
    },
    readPerfEvents(array, onEvent, onLost) {
      faults.check("readPerfEvents", array.spec.name);
      return handles.add(kernel.addReader(asFakeMap(array).object, { onEvent, onLost }));
    },
    readRingbuf(ringbuf, onRecord) {
      faults.check("readRingbuf", ringbuf.spec.name);
      const onLost = (): void => {};
      return handles.add(kernel.addReader(asFakeMap(ringbuf).object, { onEvent: onRecord, onLost }));
    },
    unpin(path, recursive = false) {
      faults.check("unpin", path);
      pins.remove(path, recursive);
    },
    listPins: (directory) => pins.list(directory),
    makePinDirectory(path) {
      faults.check("makePinDirectory", path);
      pins.makeDirectory(path);
    },
    enableStats: () => ({ close: () => undefined }),
  };
}

function createPinned(createMap: (spec: MapSpec) => FakeMap, spec: MapSpec, path: string): FakeMap {
  const map = createMap(spec);
  try {
    map.pin(path);
    return map;
  } catch (error) {
    map.close();
    throw error;
  }
}

/** The kernel's checks at creation. */
function checkMapSpec(spec: MapSpec): void {
  const needsNoPrealloc = spec.type === MapType.lpmTrie && ((spec.flags ?? 0) & 1) === 0;
  const isArray = spec.type === MapType.array || spec.type === MapType.percpuArray;
  // A ring buffer has neither keys nor values.
  const sizes = spec.type === MapType.ringbuf ? [] : [spec.keySize, spec.valueSize];
  const needsInner = spec.type === MapType.arrayOfMaps && spec.inner === undefined;
  const isEmpty = spec.maxEntries < 1 || sizes.some((size) => size < 1);
  if (isEmpty || needsNoPrealloc || needsInner || (isArray && spec.keySize !== 4)) {
    throw failure("create", `map ${spec.name}`, "EINVAL");
  }
}

function requireKind<K extends Pinned["kind"]>(
  pinned: Pinned,
  kind: K,
  path: string,
): Extract<Pinned, { readonly kind: K }> {
  if (pinned.kind === kind) return pinned as Extract<Pinned, { readonly kind: K }>;
  throw new DatapathError({
    operation: `open ${kind} pinned at`,
    object: path,
    detail: `it is a ${pinned.kind}`,
    status: "INVALID_ARGUMENT",
  });
}

function progArray(array: RawMap): MapObject {
  if (array.spec.type === MapType.progArray) return asFakeMap(array).object;
  throw new DatapathError({
    operation: "use as PROG_ARRAY",
    object: `map ${array.spec.name}`,
    detail: `its type is ${array.spec.type}`,
    status: "INVALID_ARGUMENT",
  });
}

/** @throws DatapathError for a map of another type, and slots it has not got */
function arrayOfMaps(outer: RawMap, slot: number): MapObject {
  const object = `slot ${slot} of map ${outer.spec.name}`;
  const invalid = (detail: string): DatapathError =>
    new DatapathError({ operation: "use", object, detail, status: "INVALID_ARGUMENT" });
  if (outer.spec.type !== MapType.arrayOfMaps)
    throw invalid(`its type is ${outer.spec.type}, no array of maps`);
  if (!Number.isInteger(slot) || slot < 0 || slot >= outer.spec.maxEntries) {
    throw invalid(`there are ${outer.spec.maxEntries}`);
  }
  return asFakeMap(outer).object;
}

/** `bpf_map_meta_equal`: everything but the number of entries. */
function isLike(template: MapSpec | undefined, map: MapSpec): boolean {
  if (template === undefined) return false;
  return layoutDifference({ ...layoutOf(template), maxEntries: map.maxEntries }, layoutOf(map)) === "";
}
