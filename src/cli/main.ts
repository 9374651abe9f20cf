// The program `waggle`. See docs/cli.md.

import { Interrupted } from "../playground/interrupted.ts";
import { keepCompiledCode } from "./compile-cache.ts";

const argv = process.argv.slice(2);
keepCompiledCode(argv, process.env);
// Only now, for what a module imports is loaded before it runs.
const { runCli } = await import("./run.ts");

const abort = new AbortController();
/** The first ^C lets the command tidy up; the second one ends it at once. */
const interrupt = (name: NodeJS.Signals): void => {
  if (abort.signal.aborted) process.exit(130);
  abort.abort(new Interrupted(name));
};

// The agent has a lifecycle, and with it signal handlers, of its own.
if (!argv.includes("agent")) {
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  process.on("SIGHUP", interrupt);
}
// `waggle map get … | head` closes our output early: that is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  process.stderr.write(`waggle: the output cannot be written: ${error.message}\n`);
  process.exit(1);
});

process.exitCode = await runCli(argv, undefined, abort.signal);
// What was written last may not have failed yet.
await new Promise<void>((done) => process.stdout.write("", () => done()));
// Nothing is waited for any more; a handle that lingers must not hold the terminal.
if (!argv.includes("agent")) process.exit();
