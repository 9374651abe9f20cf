import { constants } from "node:os";
import { DatapathError } from "../errors.ts";
import type { MapInfo, MapSpec, RawMap, UpdateMode } from "../types.ts";
import { checked, checkSize } from "./check.ts";
import { possibleCpus } from "./cpus.ts";
import { OwnedFd } from "./fd.ts";
import { bpf_obj_pin } from "./ffi/common.ts";
import { bpf_map_delete_elem, bpf_map_lookup_elem, bpf_map_update_elem } from "./ffi/map.ts";
import { MapBatches } from "./map-batches.ts";
import { userValueSize } from "./map-values.ts";
import { mapInfo } from "./object-info.ts";

/** `BPF_ANY`, `BPF_NOEXIST`, `BPF_EXIST` (include/uapi/linux/bpf.h). */
const UPDATE_FLAGS: Readonly<Record<UpdateMode, number>> = { any: 0, noexist: 1, exist: 2 };

const { ENOENT } = constants.errno;

/** A map of the kernel's, held by its descriptor. */
export class KernelMap implements RawMap {
  readonly spec: MapSpec;
  readonly info: MapInfo;
  /** Bytes of a value as user space sees it: per-CPU maps have one padded value per possible CPU. */
  readonly userValueSize: number;
  /** How errors name it. */
  readonly label: string;
  readonly #fd: OwnedFd;
  readonly #batches: MapBatches;

  /** Takes ownership of `fd`. `name` is the map's full name: the kernel keeps only 15 bytes. @throws DatapathError */
  constructor(fd: OwnedFd, name: string) {
    this.#fd = fd;
    this.label = `map ${name}`;
    const info = mapInfo(fd.number, this.label);
    const { type, keySize, valueSize, maxEntries, flags } = info;
    this.info = info;
    this.spec = { name, type: type as MapSpec["type"], keySize, valueSize, maxEntries, flags };
    this.userValueSize = userValueSize(this.spec, possibleCpus());
    this.#batches = new MapBatches(this);
  }

  /** A descriptor of its own for a call on another thread, during which this map may be closed. @throws DatapathError */
  duplicateFd(): OwnedFd {
    return OwnedFd.duplicate(this.fd, this.label);
  }

  /** The descriptor. @throws DatapathError when the map is closed */
  get fd(): number {
    return this.#fd.number;
  }

  update(key: Buffer, value: Buffer, mode: UpdateMode = "any"): void {
    this.checkKey(key);
    this.checkValue(value);
    checked(bpf_map_update_elem(this.fd, key, value, UPDATE_FLAGS[mode]), "update", this.label);
  }

  lookup(key: Buffer): Buffer | undefined {
    this.checkKey(key);
    // The kernel writes all of it or fails.
    const value = Buffer.allocUnsafe(this.userValueSize);
    const result = bpf_map_lookup_elem(this.fd, key, value);
    if (result === -ENOENT) return undefined;
    checked(result, "look up in", this.label);
    return value;
  }

  delete(key: Buffer): boolean {
    this.checkKey(key);
    const result = bpf_map_delete_elem(this.fd, key);
    if (result === -ENOENT) return false;
    checked(result, "delete from", this.label);
    return true;
  }

  updateBatch(keys: readonly Buffer[], values: readonly Buffer[]): Promise<void> {
    return this.#batches.update(keys, values);
  }

  updatePacked(keys: Buffer, values: Buffer): Promise<void> {
    return this.#batches.updatePacked(keys, values);
  }

  deleteBatch(keys: readonly Buffer[]): Promise<number> {
    return this.#batches.delete(keys);
  }

  keys(): Promise<readonly Buffer[]> {
    return this.#batches.keys();
  }

  entries(): Promise<readonly { readonly key: Buffer; readonly value: Buffer }[]> {
    return this.#batches.entries();
  }

  pin(path: string): void {
    checked(bpf_obj_pin(this.fd, path), "pin", `${this.label} at ${path}`);
  }

  close(): void {
    this.#fd.close();
  }

  /** @throws DatapathError when the key has the wrong size */
  checkKey(key: Buffer): void {
    checkSize("key", this.label, key.length, this.spec.keySize);
  }

  /** @throws DatapathError when the value has the wrong size */
  checkValue(value: Buffer): void {
    checkSize("value", this.label, value.length, this.userValueSize);
  }
}

/** The kernel map behind the interface. @throws DatapathError for a map of another datapath (the fake's) */
export function asKernelMap(map: RawMap): KernelMap {
  if (map instanceof KernelMap) return map;
  throw new DatapathError({
    operation: "use",
    object: `map ${map.spec.name}`,
    detail: "it is not a kernel map",
    status: "INVALID_ARGUMENT",
  });
}
