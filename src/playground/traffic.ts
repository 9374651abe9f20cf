// Traffic between the namespaces of a world, measured so that not one lost packet goes unnoticed.

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isRunning } from "./processes.ts";
import type { World } from "./world.ts";

const here = fileURLToPath(import.meta.url);
const peerArgv = (...args: readonly string[]): readonly string[] => [
  process.execPath,
  "--disable-warning=ExperimentalWarning",
  join(dirname(here), `tcp-peer${here.endsWith(".ts") ? ".ts" : ".js"}`),
  ...args,
];

/** What came of a series of echo requests. */
export interface PingResult {
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
  /** Longest time without an answer, milliseconds, to the resolution of the interval. */
  readonly outageMs: number;
}

/** The counts that ping(8) of iputils prints at its end. */
function sentCount(output: string): number {
  const match = /(\d+) packets transmitted/.exec(output);
  if (match === null) throw new Error(`ping said nothing about what it sent: ${output.trim().slice(-300)}`);
  return Number(match[1]);
}

/** On a busy machine an answer may be on its way for so long. */
const onItsWayMs = 100;
/** An answer that does not come within this time after another was asked for will not. */
const lastAnswerMs = 2_000;

/**
 * Lost are requests without an answer. The last ones, of 100 ms, may still have been on their way when ping was ended:
 * `endPing` sees to it that the path works then.
 */
export function judgePing(output: string, intervalMs: number): PingResult {
  const sent = sentCount(output);
  const answered = new Set([...output.matchAll(/icmp_seq=(\d+) ttl=/g)].map((match) => Number(match[1])));
  const onTheirWay = sent - Math.max(0, ...answered);
  const expected = onTheirWay * intervalMs <= onItsWayMs ? sent - onTheirWay : sent - 1;
  let lost = 0;
  let run = 0;
  let longestRun = 0;
  for (let seq = 1; seq <= expected; seq++) {
    run = answered.has(seq) ? 0 : run + 1;
    if (run > 0) lost++;
    longestRun = Math.max(longestRun, run);
  }
  return { sent: expected, received: expected - lost, lost, outageMs: longestRun * intervalMs };
}

/** Sends `count` echo requests and waits for all answers. */
export async function ping(world: World, from: string, to: string, count: number): Promise<PingResult> {
  const argv = ["ping", "-n", "-c", String(count), "-i", "0.02", "-W", "2", to];
  const { stdout, stderr } = await world.exec(from, argv);
  const sent = sentCount(stdout || stderr);
  const received = new Set([...stdout.matchAll(/icmp_seq=(\d+) ttl=/g)].map((match) => match[1])).size;
  return { sent, received, lost: sent - received, outageMs: 0 };
}

/**
 * Ends a running ping, not before it has had one answer more: a path that has died shows in what it says.
 * @param output all that it has said so far
 * @returns all that it has said
 */
export async function endPing(child: ChildProcess, output: () => string): Promise<string> {
  const answers = (): number => output().split("icmp_seq=").length;
  const before = answers();
  const closed = once(child, "close");
  const deadline = Date.now() + lastAnswerMs;
  while (isRunning(child) && answers() === before && Date.now() < deadline) await sleep(5);
  // ping prints its statistics on SIGINT.
  if (child.kill("SIGINT")) await closed;
  return output();
}

/** Something that runs until it is ended, and then says what it saw. */
export interface Running<T> {
  readonly running: boolean;
  end(): Promise<T>;
}

const intervalMs = 10;

/** Sends an echo request every 10 ms until ended. Resolves when the first answer has come. */
export async function steadyPing(world: World, from: string, to: string): Promise<Running<PingResult>> {
  const child = world.spawn(from, ["ping", "-n", "-i", String(intervalMs / 1_000), to]);
  let output = "";
  child.stdout!.setEncoding("utf8");
  const first = new Promise<void>((resolve, reject) => {
    child.stdout!.on("data", (data: string) => {
      output += data;
      if (/icmp_seq=\d+ ttl=/.test(output)) resolve();
    });
    child.once("exit", () =>
      reject(new Error(`ping from ${from} to ${to} ended early: ${output.trim().slice(-300)}`)),
    );
    setTimeout(() => reject(new Error(`no answer to ping from ${from} to ${to}`)), 20_000).unref();
  });
  await first;
  return {
    get running() {
      return child.exitCode === null && child.signalCode === null;
    },
    async end() {
      return judgePing(await endPing(child, () => output), intervalMs);
    },
  };
}

const nextLine = async (child: ChildProcess, what: string): Promise<string> => {
  const lines = createInterface({ input: child.stdout! });
  const timeout = AbortSignal.timeout(20_000);
  try {
    const [line] = (await once(lines, "line", { signal: timeout })) as [string];
    return line;
  } catch (error) {
    throw new Error(`${what} said nothing`, { cause: error });
  } finally {
    lines.close();
  }
};

/** Starts a TCP server that sinks and echoes; it runs until the world ends. */
export async function startTcpServer(world: World, at: string, port: number): Promise<void> {
  await nextLine(world.spawn(at, peerArgv("serve", String(port))), `the TCP server in ${at}`);
}

export interface TransferResult {
  /** As counted by the receiver. */
  readonly bytes: number;
  readonly ms: number;
}

/** Sends bytes over TCP. @throws CommandError */
export async function transfer(
  world: World,
  from: string,
  to: { readonly ipv4: string; readonly port: number },
  bytes: number,
): Promise<TransferResult> {
  const output = await world.run(from, peerArgv("send", to.ipv4, String(to.port), String(bytes)));
  return JSON.parse(output) as TransferResult;
}

export interface ChatResult {
  readonly sent: number;
  readonly received: number;
  /** Longest time a message took there and back; a lost segment shows as a retransmission timeout, 200 ms or more. */
  readonly longestMs: number;
}

/** Keeps one TCP connection busy with small messages until ended. Resolves when it is connected. */
export async function steadyChat(
  world: World,
  from: string,
  to: { readonly ipv4: string; readonly port: number },
): Promise<Running<ChatResult>> {
  const child = world.spawn(from, peerArgv("chat", to.ipv4, String(to.port)));
  let errors = "";
  child.stderr!.setEncoding("utf8").on("data", (data: string) => {
    errors += data;
  });
  await nextLine(child, `the TCP client in ${from}`);
  return {
    get running() {
      return child.exitCode === null && child.signalCode === null;
    },
    async end() {
      const line = nextLine(child, "the TCP client");
      child.stdin!.end();
      try {
        return JSON.parse(await line) as ChatResult;
      } catch (error) {
        throw new Error(`the TCP connection broke: ${errors.trim().split("\n").at(-1) ?? ""}`, {
          cause: error,
        });
      }
    },
  };
}
