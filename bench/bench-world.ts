// Worlds of a benchmark share what is compiled: only the first one waits for the compiler.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CompiledTemplates } from "../src/cells/datapath/templates.ts";
import { createKernelDatapath } from "../src/datapath/index.ts";
import { createWorld, type World, type WorldOptions } from "../src/playground/index.ts";
import { bpfSource } from "./hookless.ts";

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

/** As `createWorld`. */
export const benchWorld = (options: WorldOptions = {}): Promise<World> =>
  createWorld({ cacheDir: sharedCache(), ...options });

/** Compiles what every agent needs, so that none of several that start at once has to. @throws CompileError */
export async function fillCache(): Promise<void> {
  const datapath = createKernelDatapath({ cacheDir: sharedCache() });
  try {
    await new CompiledTemplates(datapath, bpfSource).compile();
  } finally {
    datapath.close();
  }
}
