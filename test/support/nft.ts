// nft(8) in the namespaces of a world.

import { systemPath } from "../../src/playground/command.ts";
import type { World } from "../../src/playground/index.ts";

/** Runs nft(8) in a namespace and returns what it says. @throws CommandError */
export const nft = (world: World, at: string, ...args: readonly string[]): Promise<string> =>
  world.run(at, ["env", `PATH=${systemPath}`, "nft", ...args]);
