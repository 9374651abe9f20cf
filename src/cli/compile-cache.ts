// V8's compiled code of this very program, kept from one start of the agent to the next: most of a start is loading
// modules, and most of that compiling them. Imports nothing of ours: what is loaded before it is not in the cache.

import { readFileSync, statSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { join, resolve } from "node:path";

/** As the state cell has it; a state directory that is elsewhere is said somewhere. */
const defaultStateDir = "/var/lib/waggle";

/**
 * Keeps compiled code below the agent's cache directory from now on, if that exists: the first start of all makes it.
 * What cannot be read or written is compiled as ever.
 *
 * @param argv the command line after `waggle`
 */
export function keepCompiledCode(argv: readonly string[], env: NodeJS.ProcessEnv): void {
  if (!argv.includes("agent")) return;
  const directory = cacheDirectory(argv, env);
  if (directory !== undefined && isPrivate(directory)) enableCompileCache(join(directory, "node"));
}

/** Where the agent that is started so keeps what it compiles: flags, then environment, then its file of settings. */
export function cacheDirectory(argv: readonly string[], env: NodeJS.ProcessEnv): string | undefined {
  const file = flagOf(argv, "config") ?? env.WAGGLE_CONFIG_FILE;
  const settings = file === undefined ? "" : readText(file);
  const setting = (name: string, variable: string): string | undefined =>
    flagOf(argv, name) ?? env[variable] ?? lineOf(settings, name);
  const cacheDir = setting("cache-dir", "WAGGLE_CACHE_DIR") ?? "";
  if (cacheDir !== "") return resolve(cacheDir);
  return resolve(setting("state-dir", "WAGGLE_STATE_DIR") ?? defaultStateDir, "cache");
}

function flagOf(argv: readonly string[], name: string): string | undefined {
  const at = argv.findIndex((word) => word === `--${name}` || word.startsWith(`--${name}=`));
  if (at < 0) return undefined;
  const word = argv[at]!;
  return word.includes("=") ? word.slice(word.indexOf("=") + 1) : argv[at + 1];
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    // The agent says what is wrong with it.
    return "";
  }
}

/** Value of a plain line of YAML; of anything fancier the agent makes sense, without this cache. */
const lineOf = (yaml: string, name: string): string | undefined =>
  new RegExp(`^${name}:[ \\t]+["']?([^"'#\\n]+?)["']?[ \\t]*$`, "m").exec(yaml)?.[1];

/** Code from a directory that others can write to must not be run: it is root's, as a rule, who runs it. */
function isPrivate(directory: string): boolean {
  const found = statSync(directory, { throwIfNoEntry: false });
  return found?.isDirectory() === true && found.uid === process.geteuid?.() && (found.mode & 0o022) === 0;
}
