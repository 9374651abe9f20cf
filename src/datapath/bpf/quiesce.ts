/**
 * Waiting until no packet is inside a program any more.
 *
 * BPF programs run inside RCU read-side sections, from the first instruction of an entry program through all
 * its tail calls. Once a grace period has passed, every packet that was under way at the call has left: what
 * it could still have reached (a replaced chain, a detached program's map entries) may be torn down.
 */
import { arch } from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { MapType } from "../types.ts";
import { checked } from "./check.ts";
import { OwnedFd } from "./fd.ts";
import { callAsync, membarrier } from "./ffi/async.ts";
import { bpf_map_create, bpf_map_update_elem, mapCreateOpts } from "./ffi/map.ts";

/** Numbers of the system call, for which the C library has no function. */
const SYS_MEMBARRIER: Readonly<Record<string, number>> = { x64: 324, arm64: 283, riscv64: 283 };
/** `MEMBARRIER_CMD_GLOBAL` is `synchronize_rcu()` (kernel/sched/membarrier.c). */
const MEMBARRIER_CMD_GLOBAL = 1;
/** Many times what a grace period takes on a machine that is not stuck. */
const LAST_RESORT_MS = 100;

/** Resolves after an RCU grace period. The waiting happens on a worker thread. */
export async function quiesce(): Promise<void> {
  if (await byMembarrier()) return;
  if (await byMapInMap()) return;
  await wait(LAST_RESORT_MS);
}

/** False where the kernel refuses: without the call, or with CPUs in full dynticks mode. */
export async function byMembarrier(): Promise<boolean> {
  const number = SYS_MEMBARRIER[arch];
  return number !== undefined && (await callAsync(membarrier, number, MEMBARRIER_CMD_GLOBAL, 0, 0)) === 0;
}

/**
 * An update of a map of maps waits for running programs (`maybe_wait_bpf_programs`, kernel/bpf/syscall.c), so
 * that user space may know the inner map out of use.
 */
export async function byMapInMap(): Promise<boolean> {
  const fds: OwnedFd[] = [];
  const own = (fd: number): number => {
    fds.push(new OwnedFd(checked(fd, "create", "map for a grace period"), "map for a grace period"));
    return fd;
  };
  try {
    const inner = own(bpf_map_create(MapType.array, "wg_rcu_inner", 4, 4, 1, null));
    const outer = own(
      bpf_map_create(MapType.arrayOfMaps, "wg_rcu_outer", 4, 4, 1, mapCreateOpts({ innerMapFd: inner })),
    );
    const value = Buffer.alloc(4);
    value.writeInt32LE(inner);
    return (await callAsync(bpf_map_update_elem, outer, Buffer.alloc(4), value, 0)) === 0;
  } catch {
    // Too old, or out of memory: the caller has one way left.
    return false;
  } finally {
    for (const fd of fds) fd.close();
  }
}
