// Constant traffic between all pods of a world, over TCP, UDP and ICMP, measured so that nothing lost goes unnoticed.

import { once } from "node:events";
import type { World, WorldPod } from "../../src/playground/index.ts";
import { endPing, judgePing } from "../../src/playground/traffic.ts";
import { eventually } from "./eventually.ts";
import { peerArgv } from "./programs.ts";

/** What became of one flow. */
export interface FlowReport {
  /** "pod1 → 10.0.2.2 tcp" */
  readonly flow: string;
  readonly sent: number;
  readonly received: number;
  /** What went wrong; empty when nothing did. */
  readonly problem: string;
}

/** Traffic that runs until it is ended. */
export interface AllToAll {
  /** Resolves to what became of each flow. */
  end(): Promise<readonly FlowReport[]>;
}

const port = 7_700;
const intervalMs = 25;
const pingIntervalMs = 20;
/** A ping that nobody ended ends by itself. */
const mostRequests = 10_000;
const startTimeoutMs = 40_000;

const addressesOf = ({ ipv4, ipv6 }: WorldPod): readonly string[] => [ipv4, ipv6].filter((one) => one !== "");

interface Talker {
  say(): void;
  talking(): Promise<void>;
  /** Says no more, and resolves to what became of what it said. It still answers the others. */
  hush(): Promise<readonly FlowReport[]>;
  end(): Promise<void>;
}

async function startTalker(world: World, pod: WorldPod): Promise<Talker> {
  const others = world.pods.filter((other) => other !== pod).flatMap(addressesOf);
  const own = addressesOf(pod).map((address) => `@${address}`);
  const child = world.spawn(pod.name, peerArgv("steady", port, intervalMs, ...own, ...others));
  const closed = once(child, "close");
  let output = "";
  let errors = "";
  child.stdout!.setEncoding("utf8").on("data", (data: string) => {
    output += data;
  });
  child.stderr!.setEncoding("utf8").on("data", (data: string) => {
    errors += data;
  });
  const says = async (word: string): Promise<void> => {
    await eventually(
      `the talker in ${pod.name} says ${word}`,
      () => {
        if (errors !== "" || child.exitCode !== null) throw new Error(`it broke: ${errors.trim() || output}`);
        return output.includes(word);
      },
      startTimeoutMs,
    );
  };
  await says("ready");
  return {
    say: () => void child.stdin!.write("go\n"),
    talking: () => says("talking"),
    async hush() {
      child.stdin!.write("enough\n");
      await says("]\n");
      const line = output.trim().split("\n").at(-1) ?? "";
      const reports = JSON.parse(line) as (Omit<FlowReport, "flow"> & { to: string; protocol: string })[];
      return reports.map(({ to, protocol, sent, received, problem }) => ({
        flow: `${pod.name} → ${to} ${protocol}`,
        ...{ sent, received, problem },
      }));
    },
    async end() {
      child.stdin!.end();
      await closed;
    },
  };
}

async function startPing(world: World, pod: WorldPod, to: string): Promise<() => Promise<FlowReport>> {
  const argv = ["ping", "-n", "-i", `${pingIntervalMs / 1_000}`, "-c", `${mostRequests}`, to];
  const child = world.spawn(pod.name, argv);
  let output = "";
  child.stdout!.setEncoding("utf8").on("data", (data: string) => {
    output += data;
  });
  await eventually(`${pod.name} has an answer from ${to}`, () => output.includes("icmp_seq="));
  return async () => {
    const { sent, received } = judgePing(await endPing(child, () => output), pingIntervalMs);
    return { flow: `${pod.name} → ${to} icmp`, sent, received, problem: "" };
  };
}

/** Starts it, in all families that pods have. Resolves when every flow has had an answer. */
export async function allToAll(world: World): Promise<AllToAll> {
  const talkers = await Promise.all(world.pods.map((pod) => startTalker(world, pod)));
  for (const talker of talkers) talker.say();
  await Promise.all(talkers.map((talker) => talker.talking()));
  const pings = await Promise.all(
    world.pods.flatMap((pod) =>
      world.pods
        .filter((other) => other !== pod)
        .flatMap((other) => addressesOf(other).map((to) => startPing(world, pod, to))),
    ),
  );
  return {
    async end() {
      const reports = await Promise.all([
        ...pings.map((stop) => stop()),
        ...talkers.map((talker) => talker.hush()),
      ]);
      await Promise.all(talkers.map((talker) => talker.end()));
      return reports.flat();
    },
  };
}

/** Flows of which something was lost, or that broke. */
export const damaged = (reports: readonly FlowReport[]): readonly FlowReport[] =>
  reports.filter(({ sent, received, problem }) => received < sent || problem !== "");
