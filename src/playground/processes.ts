// Processes of a world that must not outlive whoever started them.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { installed } from "./command.ts";
import { inNamespace } from "./namespaces.ts";

/** How a process ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Last lines of a log file; empty when there is none. */
export async function logTail(file: string, lines = 20): Promise<string> {
  if (!existsSync(file)) return "";
  return (await readFile(file, "utf8")).trimEnd().split("\n").slice(-lines).join("\n");
}

/** True until the process is gone. */
export const isRunning = (child: ChildProcess): boolean =>
  child.exitCode === null && child.signalCode === null;

/** Sends a signal and waits for the end; a process that outlives `graceMs` after it is killed. */
export async function endChild(
  child: ChildProcess,
  signal: NodeJS.Signals,
  graceMs: number,
): Promise<Ending> {
  const ended = endingOf(child);
  if (isRunning(child)) child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
  try {
    return await ended;
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves when the process is gone, however it went. */
export function endingOf(child: ChildProcess): Promise<Ending> {
  if (!isRunning(child)) return Promise.resolve({ code: child.exitCode, signal: child.signalCode });
  return new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
}

/** A program to run for as long as the world stands. */
export interface Daemon {
  /** Undefined where the world has no namespaces. */
  readonly namespace: string | undefined;
  readonly argv: readonly string[];
  /** File that its output is appended to. */
  readonly log: string;
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Starts a program that ends with us, in a session of its own: ^C in a terminal is for whoever takes the world down,
 * who still needs the program then.
 * @throws Error when it cannot be started
 */
export async function startDaemon({ namespace, argv, log, env }: Daemon): Promise<ChildProcess> {
  // Whoever started the program may be killed outright.
  const bound = (await installed("setpriv")) ? ["setpriv", "--pdeathsig", "TERM", "--", ...argv] : argv;
  const [file, ...args] = namespace === undefined ? bound : inNamespace(namespace, bound);
  const output = await open(log, "a");
  try {
    const child = spawn(file!, args, {
      stdio: ["ignore", output.fd, output.fd],
      detached: true,
      env: { ...process.env, ...env },
    });
    await new Promise<void>((resolve, reject) => child.once("spawn", resolve).once("error", reject));
    return child;
  } finally {
    await output.close();
  }
}
