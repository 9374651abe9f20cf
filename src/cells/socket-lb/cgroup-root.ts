import { existsSync } from "node:fs";
import { rmdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { BpfOps } from "../../datapath/index.ts";

/** Where an agent mounts a cgroup2 hierarchy of its own, on machines that have mounted none. */
export const ownCgroupMount = (stateDirectory: string): string => join(stateDirectory, "cgroup2");

/**
 * The control group whose sockets are served: the one that was asked for, else the root of the hierarchy, wherever
 * this machine has it mounted; the agent's own mount where there is none.
 * @throws DatapathError when none can be mounted
 */
export function cgroupRoot(bpf: BpfOps, wanted: string, stateDirectory: string): string {
  if (wanted !== "") return resolve(wanted);
  const found = bpf.findCgroup2();
  if (found !== undefined) return found;
  const own = ownCgroupMount(stateDirectory);
  bpf.ensureCgroup2(own);
  return own;
}

/** Takes back what `cgroupRoot` mounted; nothing happens when that was nothing. @throws DatapathError */
export async function releaseOwnCgroupMount(bpf: BpfOps, stateDirectory: string): Promise<void> {
  const own = ownCgroupMount(stateDirectory);
  if (!existsSync(own)) return;
  bpf.unmountCgroup2(own);
  await rmdir(own);
}
