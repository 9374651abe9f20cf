// Worlds of a benchmark share what is compiled: only the first one waits for the compiler.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createWorld, type World, type WorldOptions } from "../src/playground/index.ts";

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
