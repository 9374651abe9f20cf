// nft(8) in the namespaces of a world.

import { delimiter } from "node:path";
import type { World } from "../../src/playground/index.ts";

/** A program of npm's has the name of nft(8) as well, and comes first where npm starts something. */
export const systemPath = (process.env.PATH ?? "")
  .split(delimiter)
  .filter((directory) => !directory.includes("node_modules"))
  .join(delimiter);

/** Runs nft(8) in a namespace and returns what it says. @throws CommandError */
export const nft = (world: World, at: string, ...args: readonly string[]): Promise<string> =>
  world.run(at, ["env", `PATH=${systemPath}`, "nft", ...args]);
