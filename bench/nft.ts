// Rules of nft(8).

import { delimiter } from "node:path";
import { run } from "../src/playground/command.ts";
import { inNamespace } from "../src/playground/namespaces.ts";

/** A program of npm's has the name of nft(8) as well, and comes first where npm or bin/waggle-bench starts something. */
const systemPath = (process.env.PATH ?? "")
  .split(delimiter)
  .filter((directory) => !directory.includes("node_modules"))
  .join(delimiter);

/** Loads rules in a namespace. @throws CommandError; Error when there are none afterwards */
export async function loadRules(namespace: string, rules: string): Promise<void> {
  const nft = (...args: readonly string[]): Promise<string> =>
    run(inNamespace(namespace, ["nft", ...args]), {
      input: rules,
      env: { PATH: systemPath },
      timeoutMs: 120_000,
    });
  await nft("-f", "-");
  if (!(await nft("list", "tables")).includes("table ")) throw new Error("nft has loaded no rules");
}
