// Worlds of a benchmark share what is compiled: only the first one waits for the compiler.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CompiledTemplates } from "../src/cells/datapath/templates.ts";
import { createKernelDatapath } from "../src/datapath/index.ts";
import { createWorld, type World, type WorldOptions } from "../src/playground/index.ts";
import { bpfSource } from "./hookless.ts";
import { settle } from "./namespace-settings.ts";

let cache: string | undefined;

/** A directory for compiled objects that goes with this process. */
export function sharedCache(): string {
  if (cache === undefined) {
    const made = mkdtempSync(join(tmpdir(), "waggle-bench-cache-"));
    process.on("exit", () => rmSync(made, { recursive: true, force: true }));
    cache = made;
  }
  return cache;
}

/** As `createWorld`, with the settings that all namespaces of benchmarks have. */
export async function benchWorld(options: WorldOptions = {}): Promise<World> {
  const world = await createWorld({ cacheDir: sharedCache(), ...options });
  try {
    for (const namespace of Object.values(world.namespaces)) await settle(namespace);
    return world;
  } catch (error) {
    await world.destroy();
    throw error;
  }
}

/** Compiles what every agent needs, so that none of several that start at once has to. @throws CompileError */
export async function fillCache(): Promise<void> {
  const datapath = createKernelDatapath({ cacheDir: sharedCache() });
  try {
    await new CompiledTemplates(datapath, bpfSource).compile();
  } finally {
    datapath.close();
  }
}
