/**
 * prefixd: another program made of Waggle's cells. It keeps `cilium_ipcache` as a file says, and has no pods, no
 * plugins and no API. Usage: see README.md.
 */
import { parseArgs } from "node:util";
import { datapathCell } from "waggle/cells/datapath";
import { identityCell } from "waggle/cells/identity";
import { ipcacheCell } from "waggle/cells/ipcache";
import { stateCell } from "waggle/cells/state";
import { Hive, HiveValidationError } from "waggle/hive";
import { nodeFactsCell } from "./node-facts.ts";
import { prefixFeedCell } from "./prefix-feed.ts";
import { reportCell } from "./report.ts";

const cells = [
  // Waggle's.
  stateCell,
  datapathCell,
  identityCell,
  ipcacheCell,
  // Our own.
  nodeFactsCell,
  prefixFeedCell,
  reportCell,
];

/** Every cell brings its flags: the command line is what they add up to. */
function hiveFor(args: readonly string[]): Hive {
  const known = new Hive({ name: "prefixd", cells }).flags();
  if (args.includes("--help")) {
    console.log(known.map((flag) => `--${flag.name} (${flag.module}): ${flag.help}`).join("\n"));
    process.exit(0);
  }
  const options = Object.fromEntries(known.map(({ name }) => [name, { type: "string" } as const]));
  // What is no flag of ours is for the hive to refuse: it says which one was meant.
  const { values: flags } = parseArgs({ args: [...args], options, strict: false });
  return new Hive({ name: "prefixd", cells, settings: { flags, env: process.env, envPrefix: "PREFIXD_" } });
}

try {
  await hiveFor(process.argv.slice(2)).run();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = error instanceof HiveValidationError ? 2 : 1;
}
