import { isPerCpu, perCpuStride } from "../bpf/map-values.ts";
import { DatapathError } from "../errors.ts";
import { type MapInfo, type MapSpec, MapType, type RawMap, type UpdateMode } from "../types.ts";
import { type ErrnoName, failure } from "./errno.ts";
import { Handle, type Handles } from "./handles.ts";
import type { FakeKernel } from "./kernel.ts";
import type { MapObject } from "./objects.ts";
import type { Entry } from "./stores.ts";

/** Bytes of a value as user space sees it. */
export function userValueSize(spec: Pick<MapSpec, "type" | "valueSize">, cpus: number): number {
  return isPerCpu(spec.type) ? perCpuStride(spec.valueSize) * cpus : spec.valueSize;
}

/** An open map of a fake kernel. */
export class FakeMap implements RawMap {
  readonly spec: MapSpec;
  readonly info: MapInfo;
  readonly #kernel: FakeKernel;
  readonly #handle: Handle<MapObject>;
  readonly #valueSize: number;
  readonly #label: string;

  /** @param name full name: the kernel keeps 15 bytes */
  constructor(kernel: FakeKernel, handles: Handles, map: MapObject, name: string) {
    this.#kernel = kernel;
    this.spec = { ...map.spec, name };
    this.info = map.info;
    this.#label = `map ${name}`;
    this.#valueSize = userValueSize(map.spec, kernel.cpus);
    map.use();
    this.#handle = new Handle(map, this.#label, handles, (target) => target.unuse());
  }

  /** @throws DatapathError after `close` */
  get object(): MapObject {
    return this.#handle.target;
  }

  update(key: Buffer, value: Buffer, mode: UpdateMode = "any"): void {
    this.#kernel.faults.check("update", this.#label);
    this.#put(key, value, mode);
  }

  lookup(key: Buffer): Buffer | undefined {
    this.#kernel.faults.check("lookup", this.#label);
    this.#checkSize("key", key, this.spec.keySize);
    const { store } = this.object;
    if (isReference(this.spec.type)) {
      const slot = key.readUInt32LE(0);
      const held = this.#references.find(([at]) => at === slot);
      return held === undefined ? undefined : word(held[1].id);
    }
    if (store === undefined) throw failure("look up in", this.#label, "ENOTSUPP");
    const value = store.lookup(key);
    return value === undefined ? undefined : Buffer.from(value);
  }

  delete(key: Buffer): boolean {
    this.#kernel.faults.check("delete", this.#label);
    return this.#remove(key);
  }

  async updateBatch(keys: readonly Buffer[], values: readonly Buffer[]): Promise<void> {
    this.#kernel.faults.check("updateBatch", this.#label);
    if (keys.length !== values.length) {
      throw new DatapathError({
        operation: "update batch in",
        object: this.#label,
        detail: `${keys.length} keys but ${values.length} values`,
        status: "INVALID_ARGUMENT",
      });
    }
    keys.forEach((key, i) => {
      this.#put(key, values[i]!, "any");
    });
  }

  updatePacked(keys: Buffer, values: Buffer): Promise<void> {
    return this.updateBatch(unpack(keys, this.spec.keySize), unpack(values, this.#valueSize));
  }

  async deleteBatch(keys: readonly Buffer[]): Promise<number> {
    this.#kernel.faults.check("deleteBatch", this.#label);
    return keys.filter((key) => this.#remove(key)).length;
  }

  async keys(): Promise<readonly Buffer[]> {
    this.#kernel.faults.check("keys", this.#label);
    return this.#list().map(({ key }) => key);
  }

  async entries(): Promise<readonly Entry[]> {
    this.#kernel.faults.check("entries", this.#label);
    return this.#list();
  }

  pin(path: string): void {
    this.#kernel.faults.check("pin", path);
    this.#kernel.pins.add(path, { kind: "map", object: this.object });
  }

  close(): void {
    this.#handle.close();
  }

  /** What the slots hold: programs, or maps. */
  get #references(): readonly (readonly [number, { readonly id: number }])[] {
    return [...(this.spec.type === MapType.progArray ? this.object.slots : this.object.inner)];
  }

  #list(): readonly Entry[] {
    const { store } = this.object;
    if (isReference(this.spec.type)) {
      return this.#references.map(([slot, { id }]) => ({ key: word(slot), value: word(id) }));
    }
    if (store === undefined) throw failure("list", this.#label, "ENOTSUPP");
    return store.entries().map(({ key, value }) => ({ key: Buffer.from(key), value: Buffer.from(value) }));
  }

  #put(key: Buffer, value: Buffer, mode: UpdateMode): void {
    this.#checkSize("key", key, this.spec.keySize);
    this.#checkSize("value", value, this.#valueSize);
    const { store } = this.object;
    // Values of these are descriptors, and there are none here: see BpfOps.setProgram and setInnerMap.
    const errno: ErrnoName | undefined = store === undefined ? "EBADF" : store.update(key, value, mode);
    if (errno !== undefined) throw failure("update", this.#label, errno);
  }

  #remove(key: Buffer): boolean {
    this.#checkSize("key", key, this.spec.keySize);
    if (this.spec.type === MapType.progArray) return this.object.clearSlot(key.readUInt32LE(0));
    if (this.spec.type === MapType.arrayOfMaps) return this.object.clearInner(key.readUInt32LE(0));
    const errno: ErrnoName | undefined = (this.object.store ?? { delete: () => "ENOTSUPP" as const }).delete(
      key,
    );
    if (errno === "ENOENT") return false;
    if (errno !== undefined) throw failure("delete from", this.#label, errno);
    return true;
  }

  #checkSize(what: "key" | "value", buffer: Buffer, size: number): void {
    if (buffer.length === size) return;
    throw new DatapathError({
      operation: `use ${what} with`,
      object: this.#label,
      detail: `${buffer.length} bytes, want ${size}`,
      status: "INVALID_ARGUMENT",
    });
  }
}

/** @throws DatapathError for a map of another datapath */
export function asFakeMap(map: RawMap): FakeMap {
  if (map instanceof FakeMap) return map;
  throw new DatapathError({
    operation: "use",
    object: `map ${map.spec.name}`,
    detail: "it is not of a fake datapath",
    status: "INVALID_ARGUMENT",
  });
}

/** What lies one behind the other; an incomplete rest counts, to be refused as the kernel's map does. */
function unpack(packed: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(packed.length / size) }, (_, i) =>
    packed.subarray(i * size, (i + 1) * size),
  );
}

/** Is it a map whose slots hold programs or maps? They read as ids. */
function isReference(type: MapSpec["type"]): boolean {
  return type === MapType.progArray || type === MapType.arrayOfMaps;
}

function word(value: number): Buffer {
  const buffer = Buffer.allocUnsafe(4);
  buffer.writeUInt32LE(value);
  return buffer;
}
