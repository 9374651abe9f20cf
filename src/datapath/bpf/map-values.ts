/** How wide a map's value is as user space sees it. */
import { type MapSpec, MapType } from "../types.ts";

/** Map types that hold a value per possible CPU. */
export function isPerCpu(type: number): boolean {
  return type === MapType.percpuHash || type === MapType.percpuArray;
}

/** Bytes of one CPU's slot in a per-CPU value: the kernel pads each to 8 (`round_up(value_size, 8)`). */
export function perCpuStride(valueSize: number): number {
  return (valueSize + 7) & ~7;
}

/** Bytes that lookups return and updates take for one key. */
export function userValueSize(spec: MapSpec, cpus: number): number {
  return isPerCpu(spec.type) ? perCpuStride(spec.valueSize) * cpus : spec.valueSize;
}
