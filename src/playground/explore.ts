// `waggle playground`: a world that stays up for somebody to look around in, or as long as one command runs.

import { spawn } from "node:child_process";
import { constants } from "node:os";
import { resolve } from "node:path";
import { probeCapabilities } from "./capability.ts";
import { describeCluster, worldEnvironment } from "./environment.ts";
import { Interrupted } from "./interrupted.ts";
import { introduction, type PlaygroundStyle } from "./introduction.ts";
import { inNamespace } from "./namespaces.ts";
import type { RoutingMode } from "./options.ts";
import { removeAbandonedWorlds } from "./stale.ts";
import { createWorld, type World } from "./world.ts";

export interface PlaygroundSettings {
  readonly nodes: number;
  readonly pods: number;
  readonly ipv6: boolean;
  readonly routingMode: RoutingMode;
  /** Directories of plugins to register and enable. */
  readonly plugins: readonly string[];
  readonly fake: boolean;
  /** Run this and end; without it the world stays until `signal`. */
  readonly command: readonly string[] | undefined;
  readonly signal: AbortSignal;
  readonly json: boolean;
  readonly style: PlaygroundStyle;
  print(text: string): void;
  /** Shows what is going on while `work` runs. */
  during<T>(what: string, work: (progress: { say(what: string): void }) => Promise<T>): Promise<T>;
}

/** Exit code of a process that a signal ended, as shells count it. */
const codeAfter = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

async function runCommand(world: World, command: readonly string[], signal: AbortSignal): Promise<number> {
  const [file, ...args] = world.real ? inNamespace(world.nodes[0]!.namespace, command) : command;
  const child = spawn(file!, args, { stdio: "inherit", env: { ...process.env, ...worldEnvironment(world) } });
  // A terminal sends ^C to the command as well; whoever signals us alone expects the same.
  const forward = (): void =>
    void child.kill(signal.reason instanceof Interrupted ? signal.reason.signal : "SIGTERM");
  if (signal.aborted) forward();
  signal.addEventListener("abort", forward, { once: true });
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once("exit", (code, by) => resolve(code ?? codeAfter(by!)));
      child.once("error", (error: NodeJS.ErrnoException) => {
        reject(error.code === "ENOENT" ? new Error(`${file}: no such program`, { cause: error }) : error);
      });
    });
  } finally {
    signal.removeEventListener("abort", forward);
  }
}

const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((done) => {
    if (signal.aborted) done();
    signal.addEventListener("abort", () => done(), { once: true });
    // An AbortSignal alone does not keep a process alive.
    const alive = setInterval(() => undefined, 60_000);
    signal.addEventListener("abort", () => clearInterval(alive), { once: true });
  });

/**
 * Builds the world, runs the command or waits for the signal, and takes the world down. Resolves to the exit code.
 * @throws Error when this machine does not permit it; CommandError, AgentError, CallError, TeardownError
 */
export async function runPlayground(settings: PlaygroundSettings): Promise<number> {
  const may = await probeCapabilities();
  if (!settings.fake && !may.namespaces.ok)
    throw new Error(`network namespaces cannot be made here: ${may.namespaces.reason}`);
  if (!settings.fake && !may.bpf.ok) {
    throw new Error(
      `BPF is not permitted here (${may.bpf.reason}); with --fake the API can still be explored`,
    );
  }
  if (may.namespaces.ok) await removeAbandonedWorlds();
  const world = await settings.during("building", (progress) =>
    createWorld({
      nodes: settings.nodes,
      pods: settings.pods,
      ipv6: settings.ipv6,
      routingMode: settings.routingMode,
      plugins: settings.plugins.map((directory) => ({ directory: resolve(directory) })),
      datapath: settings.fake ? "fake" : "kernel",
      signal: settings.signal,
      onProgress: (what) => progress.say(`building: ${what}`),
    }),
  );
  try {
    const code = await explore(world, settings);
    const leftovers = await world.destroy();
    if (leftovers.count > 0) throw new Error(`left behind: ${leftovers.items.join(", ")}`);
    return code;
  } finally {
    await world.destroy();
  }
}

/** What happens while the world is up. */
async function explore(
  world: World,
  { command, signal, style, json, print }: PlaygroundSettings,
): Promise<number> {
  await describeCluster(world);
  if (command !== undefined) return await runCommand(world, command, signal);
  print(json ? `${JSON.stringify(worldEnvironment(world))}\n` : introduction(world, style));
  await untilAborted(signal);
  return 0;
}
