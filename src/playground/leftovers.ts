// What is left of a world that was taken down: nothing, or the teardown has a fault.

import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { type AgentClient, everything } from "../client/index.ts";
import { createKernelDatapath } from "../datapath/index.ts";
import { namespacePath } from "./namespaces.ts";
import { mountsBelow } from "./scratch.ts";

export interface Leftovers {
  readonly count: number;
  /** One line each. */
  readonly items: readonly string[];
}

/** Kernel ids of everything the agent has loaded: its own programs and the instances of plugins. */
export async function programIds(client: AgentClient): Promise<readonly number[]> {
  const programs = await everything(
    (page) => client.datapath.listPrograms({ ...page, attachment: "" }, { timeoutMs: 5_000 }),
    (page) => page.programs,
  );
  const chains = await everything(
    (page) =>
      client.plugins.listChains({ ...page, attachment: "", hook: "", plugin: "" }, { timeoutMs: 5_000 }),
    (page) => page.chains,
  );
  return [
    ...programs.map(({ id }) => id),
    ...chains.flatMap(({ links }) => links.map((link) => link.programId)),
  ];
}

/**
 * Milliseconds the kernel may take to free programs whose last pin is gone: that waits for RCU grace periods and a
 * worker, which take their time on a busy machine.
 */
const programGraceMs = 60_000;

async function remainingPrograms(programs: readonly number[]): Promise<readonly number[]> {
  if (programs.length === 0) return [];
  const datapath = createKernelDatapath({ cacheDir: tmpdir() });
  const isLoaded = (id: number): boolean => {
    const program = datapath.bpf.programById(id);
    program?.close();
    return program !== undefined;
  };
  try {
    const deadline = Date.now() + programGraceMs;
    for (;;) {
      const remaining = programs.filter(isLoaded);
      if (remaining.length === 0 || Date.now() >= deadline) return remaining;
      await sleep(50);
    }
  } finally {
    datapath.close();
  }
}

/** Looks for what a world may have left behind. */
export async function countLeftovers(of: {
  readonly namespaces: readonly string[];
  readonly directory: string | undefined;
  readonly programs: readonly number[];
}): Promise<Leftovers> {
  const { directory } = of;
  const items = [
    ...of.namespaces.filter((name) => existsSync(namespacePath(name))).map((name) => `namespace ${name}`),
    ...(directory === undefined ? [] : mountsBelow(directory).map((point) => `mount ${point}`)),
    ...(directory !== undefined && existsSync(directory) ? [`directory ${directory}`] : []),
    ...(await remainingPrograms(of.programs)).map((id) => `BPF program ${id}`),
  ];
  return { count: items.length, items };
}
