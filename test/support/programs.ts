// Starting programs in a world's namespaces, and waiting until they are of use.

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { World } from "../../src/playground/index.ts";
import { eventually } from "./eventually.ts";

/** The command line of a program of `peers/`. */
export const peerArgv = (program: string, ...args: readonly (string | number)[]): readonly string[] => [
  process.execPath,
  "--disable-warning=ExperimentalWarning",
  fileURLToPath(new URL(`peers/${program}.ts`, import.meta.url)),
  ...args.map(String),
];

/** Runs a program of `peers/` to its end. @throws CommandError */
export async function runPeer<T>(
  world: World,
  at: string,
  program: string,
  ...args: readonly (string | number)[]
): Promise<T> {
  return JSON.parse(await world.run(at, peerArgv(program, ...args))) as T;
}

/** A program that serves until it is stopped, or the world ends. */
export interface Server {
  readonly child: ChildProcess;
  /** Kills it, and resolves when it is gone. */
  stop(): Promise<void>;
}

function server(child: ChildProcess): Server {
  return {
    child,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "close");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

/** Starts a program and waits until its output matches. @throws Error when it ends before that, NeverError */
export async function startUntilSays(
  world: World,
  at: string,
  argv: readonly string[],
  says: RegExp,
): Promise<Server> {
  const child = world.spawn(at, argv);
  let output = "";
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding("utf8").on("data", (data: string) => {
      if (output.length < 64 * 1024) output += data;
    });
  }
  let ended = false;
  child.once("exit", () => {
    ended = true;
  });
  await eventually(`${argv[0]} in ${at} says ${says}`, () => ended || says.test(output), 30_000);
  if (!says.test(output)) throw new Error(`${argv.join(" ")} in ${at} ended early: ${output.trim()}`);
  return server(child);
}

/** Starts `peers/tcp-server` or `peers/udp serve`. */
export const startPeer = (
  world: World,
  at: string,
  program: string,
  ...args: readonly (string | number)[]
): Promise<Server> => startUntilSays(world, at, peerArgv(program, ...args), /ready/);

/** Starts a program and waits until something listens on the TCP port in its namespace. */
export async function startUntilListens(
  world: World,
  at: string,
  argv: readonly string[],
  port: number,
): Promise<Server> {
  const child = world.spawn(at, argv, "ignore");
  await eventually(`${argv[0]} in ${at} listens on port ${port}`, async () => {
    const { stdout } = await world.exec(at, ["ss", "-Hltn", "sport", "=", `:${port}`]);
    return stdout.trim() !== "";
  });
  return server(child);
}
