// `waggle playground`: a world that stays up for somebody to look around in, or as long as one command runs.

import { spawn } from "node:child_process";
import { constants } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { probeCapabilities } from "./capability.ts";
import { Interrupted } from "./interrupted.ts";
import { inNamespace, namespacePath } from "./namespaces.ts";
import { removeAbandonedWorlds } from "./stale.ts";
import { createWorld, type World } from "./world.ts";

interface Style {
  bold(text: string): string;
  dim(text: string): string;
}

export interface PlaygroundSettings {
  readonly pods: number;
  /** Directories of plugins to register and enable. */
  readonly plugins: readonly string[];
  readonly fake: boolean;
  /** Run this and end; without it the world stays until `signal`. */
  readonly command: readonly string[] | undefined;
  readonly signal: AbortSignal;
  readonly json: boolean;
  readonly style: Style;
  print(text: string): void;
  /** Shows what is going on while `work` runs. */
  during<T>(what: string, work: (progress: { say(what: string): void }) => Promise<T>): Promise<T>;
}

/** Exit code of a process that a signal ended, as shells count it. */
const codeAfter = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

const binDirectory = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), "bin");

/** Variables that tell a command where it is. Names with WAGGLE_ that the agent knows are left out on purpose. */
export function worldEnvironment(world: World): Record<string, string> {
  return {
    PATH: `${binDirectory}:${process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin"}`,
    WAGGLE_SOCKET: world.socket,
    WAGGLE_NODE_NETNS: world.namespaces.node!,
    WAGGLE_OUTSIDE_NETNS: world.namespaces.outside!,
    WAGGLE_OUTSIDE_IPV4: world.addressing.outsideIpv4,
    ...Object.fromEntries(
      world.pods.flatMap((pod) => [
        [`WAGGLE_${pod.name.toUpperCase()}_NETNS`, pod.namespace],
        [`WAGGLE_${pod.name.toUpperCase()}_IPV4`, pod.ipv4],
      ]),
    ),
  };
}

async function runCommand(world: World, command: readonly string[], signal: AbortSignal): Promise<number> {
  const [file, ...args] = world.real ? inNamespace(world.namespaces.node!, command) : command;
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

/** How to enter each namespace. */
function places(world: World, style: Style): readonly string[] {
  if (!world.real) return [style.bold("An agent on a fake datapath: the API works, packets do not."), ""];
  const { nodeIpv4, outsideIpv4 } = world.addressing;
  const rows: readonly (readonly [string, string, string])[] = [
    ["node", nodeIpv4, world.namespaces.node!],
    ["outside", outsideIpv4, world.namespaces.outside!],
    ...world.pods.map((pod) => [pod.name, pod.ipv4, pod.namespace] as const),
  ];
  return [
    style.bold("A node with pods, and a host outside of it. Enter them with:"),
    ...rows.map(([name, ipv4, namespace]) => `  ${name.padEnd(9)} ${ipv4.padEnd(13)} ${enter(namespace)}`),
    "",
    style.bold("Send something:"),
    `  ${enter(world.pods[0]?.namespace ?? world.namespaces.node!)} ping -c 3 ${world.pods[1]?.ipv4 ?? outsideIpv4}`,
    "",
  ];
}

const enter = (namespace: string): string => `nsenter --net=${namespacePath(namespace)}`;

const introduction = (world: World, style: Style): string =>
  [
    ...places(world, style),
    style.bold("Speak to the agent:"),
    `  export WAGGLE_SOCKET=${world.socket} PATH=${binDirectory}:$PATH`,
    "  waggle status",
    "  waggle endpoint list",
    "  waggle monitor --type drop,trace,verdict",
    "",
    style.dim(`The agent's log is ${world.scratch.log}. ^C takes everything down.`),
    "",
  ].join("\n");

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
      pods: settings.pods,
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
  if (command !== undefined) return await runCommand(world, command, signal);
  print(json ? `${JSON.stringify(worldEnvironment(world))}\n` : introduction(world, style));
  await untilAborted(signal);
  return 0;
}
