// What the figures were measured on: no name and no path of the machine.

import { arch, cpus, release, totalmem, type } from "node:os";

export interface Machine {
  readonly kernel: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly node: string;
}

/** The machine this runs on. */
export function describeMachine(): Machine {
  const cores = cpus();
  return {
    // What follows the version proper is the name of somebody's build.
    kernel: `${type()} ${release().replace(/-.*$/, "")} ${arch()}`,
    cpu: cores[0]?.model.trim() ?? "unknown",
    cores: cores.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
  };
}

/** The same as a sentence. */
export const machineText = ({ kernel, cpu, cores, memoryGiB, node }: Machine): string =>
  `${kernel}, ${cores} cores (${cpu}), ${memoryGiB} GiB of memory, Node.js ${node}`;
