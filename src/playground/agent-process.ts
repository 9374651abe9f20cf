// The agent of a world: a child process in the node's network namespace, under everybody's mount namespace.

import type { ChildProcess } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { waitUntilServing } from "../client/health.ts";
import { type Ending, endChild, endingOf, isRunning, logTail, startDaemon } from "./processes.ts";

/** The agent ended, or did not get ready; carries the last lines it wrote. */
export class AgentError extends Error {
  constructor(what: string, log: string, cause?: unknown) {
    super(
      log === "" ? what : `${what}; its last words:\n${log}`,
      cause === undefined ? undefined : { cause },
    );
    this.name = "AgentError";
  }
}

export interface AgentSettings {
  /** Undefined where the world has none. */
  readonly namespace: string | undefined;
  readonly socket: string;
  readonly log: string;
  /** Arguments after `waggle agent`. */
  readonly arguments: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Milliseconds until the agent must serve; the first start compiles all templates. */
  readonly startTimeoutMs: number;
}

const sourceRoot = dirname(dirname(fileURLToPath(import.meta.url)));
/** main.ts in a checkout, main.js in a build. */
const cliMain = join(
  sourceRoot,
  "cli",
  `main${fileURLToPath(import.meta.url).endsWith(".ts") ? ".ts" : ".js"}`,
);

/** As in bin/waggle. */
export const runtimeFlags: readonly string[] = [
  "--conditions=waggle-source",
  "--disable-warning=ExperimentalWarning",
  "--max-semi-space-size=4",
  "--heap-growing-percent=100",
];

/** As in bin/waggle. */
export const runtimeEnv: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: "1" };

/** The command line of `waggle` with this very runtime and these very sources. */
export const waggleArgv = (...args: readonly string[]): readonly string[] => [
  process.execPath,
  ...runtimeFlags,
  cliMain,
  ...args,
];

/** One run of the agent. */
export class AgentProcess {
  readonly pid: number;
  /** Resolves when the process is gone, however it went. */
  readonly ended: Promise<Ending>;
  readonly #child: ChildProcess;
  readonly #log: string;

  constructor(child: ChildProcess, log: string) {
    this.#child = child;
    this.#log = log;
    this.pid = child.pid!;
    this.ended = endingOf(child);
  }

  get running(): boolean {
    return isRunning(this.#child);
  }

  /** Sends a signal; false when the process is gone already. */
  signal(signal: NodeJS.Signals): boolean {
    return this.running && this.#child.kill(signal);
  }

  /**
   * Sends a signal and waits for the end. A process that outlives `graceMs` after SIGTERM is killed.
   * @throws AgentError when it had to be killed: a clean stop was asked for and not given
   */
  async stop(signal: NodeJS.Signals = "SIGTERM", graceMs = 30_000): Promise<Ending> {
    const ending = await endChild(this.#child, signal, graceMs);
    if (signal !== "SIGKILL" && ending.signal === "SIGKILL") {
      throw new AgentError(
        `the agent did not stop within ${graceMs} ms of ${signal}`,
        await logTail(this.#log),
      );
    }
    return ending;
  }
}

/**
 * Starts an agent and waits until it serves.
 * @param signal ends the waiting, and the agent with it
 * @throws AgentError; the signal's reason when it aborts
 */
export async function startAgentProcess(
  settings: AgentSettings,
  signal?: AbortSignal,
): Promise<AgentProcess> {
  const { namespace, log } = settings;
  const env = { ...runtimeEnv, ...settings.env };
  const argv = waggleArgv("agent", ...settings.arguments);
  let agent: AgentProcess;
  try {
    agent = new AgentProcess(await startDaemon({ namespace, argv, log, env }), log);
  } catch (error) {
    throw new AgentError("the agent could not be started", "", error);
  }

  const abort = new AbortController();
  const early = agent.ended.then(({ code, signal }) => {
    abort.abort();
    return `the agent ended during its start (${signal ?? `exit code ${code}`})`;
  });
  const stopWaiting = signal === undefined ? abort.signal : AbortSignal.any([abort.signal, signal]);
  const serving = waitUntilServing(settings.socket, settings.startTimeoutMs, stopWaiting).then(
    () => undefined,
    (error: unknown) => error,
  );
  const problem = await Promise.race([serving, early]);
  if (problem === undefined) return agent;
  const tail = await logTail(log);
  await agent.stop("SIGKILL");
  signal?.throwIfAborted();
  throw typeof problem === "string"
    ? new AgentError(problem, tail)
    : new AgentError(`the agent did not serve within ${settings.startTimeoutMs} ms`, tail, problem);
}
