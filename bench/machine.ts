// What the figures were measured on: no name and no path of the machine.

import { readFileSync } from "node:fs";
import { arch, cpus, release, totalmem, type } from "node:os";

export interface Machine {
  readonly kernel: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly node: string;
  /** How idle cores wait, where the kernel has a driver for it. */
  readonly idleDriver?: string;
}

const idleDriverFile = "/sys/devices/system/cpu/cpuidle/current_driver";

/** The driver of idle cores: Documentation/admin-guide/pm/cpuidle.rst. A kernel without cpuidle has no such file. */
function idleDriver(): string | undefined {
  try {
    const name = readFileSync(idleDriverFile, "utf8").trim();
    return name === "none" ? undefined : name;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** The machine this runs on. */
export function describeMachine(): Machine {
  const cores = cpus();
  const driver = idleDriver();
  return {
    // What follows the version proper is the name of somebody's build.
    kernel: `${type()} ${release().replace(/-.*$/, "")} ${arch()}`,
    cpu: cores[0]?.model.trim() ?? "unknown",
    cores: cores.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    ...(driver === undefined ? {} : { idleDriver: driver }),
  };
}

/** The same as a sentence. */
export function machineText({ kernel, cpu, cores, memoryGiB, node, idleDriver }: Machine): string {
  const idle = idleDriver === undefined ? "" : `, idle driver ${idleDriver}`;
  return `${kernel}, ${cores} cores (${cpu}${idle}), ${memoryGiB} GiB of memory, Node.js ${node}`;
}
