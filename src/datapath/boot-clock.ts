import { readFileSync } from "node:fs";

/** A moment on the clock that BPF programs read (CLOCK_MONOTONIC), and the boot that the clock belongs to. */
export interface BootMoment {
  /** /proc/sys/kernel/random/boot_id */
  readonly boot: string;
  /** Whole seconds since that boot. */
  readonly seconds: number;
}

let boot: string | undefined;

/** Now, in the terms of `bpf_ktime_get_ns()` divided into seconds. */
export function bootMoment(): BootMoment {
  boot ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return { boot, seconds: Number(process.hrtime.bigint() / 1_000_000_000n) };
}

/** The moment's seconds when it is of this boot, otherwise 0, which is before everything. */
export function secondsOfThisBoot(moment: BootMoment | undefined): number {
  return moment !== undefined && moment.boot === bootMoment().boot ? moment.seconds : 0;
}
