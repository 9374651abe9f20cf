import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Client, credentials } from "@grpc/grpc-js";
import { IPCacheSource } from "../../src/gen/waggle/v1/ipcache.ts";
import type { World } from "../../src/playground/index.ts";
import { makeDirectory } from "../../src/playground/scratch.ts";
import { Undo } from "../../src/playground/undo.ts";
import { benchWorld } from "../bench-world.ts";
import { echoService } from "../echo-service.ts";
import { interleave, samplesOf } from "../interleave.ts";
import { ratio, summarise } from "../statistics.ts";
import { type Suite, type SuiteContext, target } from "../suite.ts";

const callsAtOnce = 32;

/** Calls a second, so many at a time. */
async function callRate(seconds: number, call: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  const end = started + seconds * 1_000;
  let calls = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < end) {
      await call();
      calls += 1;
    }
  };
  await Promise.all(Array.from({ length: callsAtOnce }, worker));
  return (calls * 1_000) / (performance.now() - started);
}

/** Starts the empty server. Resolves to a call of it. */
async function startEcho(directory: string, undo: Undo): Promise<() => Promise<void>> {
  const socket = join(directory, "echo.sock");
  const file = join(import.meta.dirname, "../peers/echo-server.ts");
  const child: ChildProcess = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", file, socket],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  undo.add("echo server", async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  });
  const { done } = await createInterface({ input: child.stdout! })[Symbol.asyncIterator]().next();
  if (done === true) throw new Error("the echo server ended early");
  const client = new Client(`unix:${socket}`, credentials.createInsecure());
  undo.add("client of the echo server", () => client.close());
  // As many bytes as an answer of GetIPCacheEntry has.
  const request = Buffer.alloc(32, 1);
  const { path, requestSerialize, responseDeserialize } = echoService.echo;
  return () =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error) =>
        error === null ? resolve() : reject(error),
      );
    });
}

const prefix = "10.200.0.1/32";

const entryOf = (identity: number) => ({
  prefix,
  identity,
  tunnelEndpoint: "",
  encryptKey: 0,
  source: IPCacheSource.UNSPECIFIED,
});

/** Milliseconds from a change until so many watchers have it, a sample a round. */
async function fanOut(world: World, watchers: number, rounds: number, undo: Undo): Promise<number[]> {
  const stop = new AbortController();
  const arrived = new Map<number, () => void>();
  const counts = new Map<number, number>();
  let synced = 0;
  let allSynced: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => {
    allSynced = resolve;
  });
  const watch = async (): Promise<void> => {
    for await (const { change } of world.client.ipcache.watchIpCacheEntries({}, { signal: stop.signal })) {
      if (change?.$case === "sync") {
        synced += 1;
        if (synced === watchers) allSynced();
      }
      if (change?.$case !== "upsert" || change.value.prefix !== prefix) continue;
      const { identity } = change.value;
      const count = (counts.get(identity) ?? 0) + 1;
      counts.set(identity, count);
      if (count === watchers) arrived.get(identity)?.();
    }
  };
  const watching = Promise.all(Array.from({ length: watchers }, watch));
  undo.add("watchers", async () => {
    stop.abort();
    await watching;
  });
  const broken = watching.then(() => Promise.reject(new Error("a watcher ended early")));
  broken.catch(() => undefined);
  await Promise.race([ready, broken]);
  const samples: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const identity = 10_000 + round;
    const all = new Promise<void>((resolve) => {
      arrived.set(identity, resolve);
    });
    const started = performance.now();
    await world.client.ipcache.upsertIpCacheEntry({ entry: entryOf(identity) });
    await Promise.race([all, broken]);
    samples.push(performance.now() - started);
  }
  return samples;
}

/** Milliseconds from the start of the process until it serves, with everything compiled. */
async function starts(world: World, { effort, signal, progress }: SuiteContext): Promise<number[]> {
  const samples: number[] = [];
  for (let round = 0; round < effort.rounds; round += 1) {
    signal.throwIfAborted();
    progress(`start, round ${round + 1}`);
    await world.killAgent();
    const started = performance.now();
    await world.startAgent();
    samples.push(performance.now() - started);
  }
  return samples;
}

const [waggle, echo] = ["waggle", "empty grpc-js server"] as const;

export const api: Suite = {
  name: "api",
  title: "The API",
  method:
    "GetIPCacheEntry over the agent's socket, 32 calls at a time from one client process, beside a server of " +
    "@grpc/grpc-js that returns what it is sent, of the same size; an entry of the ipcache that is changed, until the " +
    "call is answered and 100 watchers have it; and the agent's process from its start until it serves, with two pods " +
    "and everything compiled before.",
  async run(context) {
    const { effort, signal, progress } = context;
    const undo = new Undo();
    try {
      progress("setting up");
      const directory = await makeDirectory("api", undo);
      const call = await startEcho(directory, undo);
      const world = await benchWorld({ pods: 2, signal });
      undo.add("world", async () => void (await world.destroy()));
      await world.client.ipcache.upsertIpCacheEntry({ entry: entryOf(9_999) });
      const seconds = effort.scale < 1 ? 0.5 : 2;
      const rates = await interleave(
        [
          { name: echo, measure: () => callRate(seconds, call) },
          {
            name: waggle,
            measure: () => callRate(seconds, () => world.client.ipcache.getIpCacheEntry({ prefix })),
          },
        ],
        { effort, signal, onSample: (contender, round) => progress(`calls: ${contender}, round ${round}`) },
      );
      const startTimes = await starts(world, context);
      progress("watchers");
      const watchers = 100;
      const fan = await fanOut(world, watchers, effort.rounds, undo);
      return {
        rows: [
          { name: "calls", unit: "1/s", better: "higher", variants: rates },
          {
            name: `a change at ${watchers} watchers`,
            unit: "ms",
            better: "lower",
            variants: [{ name: waggle, samples: fan }],
          },
          {
            name: "start to ready",
            unit: "ms",
            better: "lower",
            variants: [{ name: waggle, samples: startTimes }],
          },
        ],
        targets: [
          target(
            "calls against the empty server",
            "at least",
            0.7,
            ratio(samplesOf(rates, waggle), samplesOf(rates, echo)),
          ),
          target("start to ready", "at most", 1_500, summarise(startTimes), "ms"),
        ],
        remarks: [],
      };
    } finally {
      await undo.run();
    }
  },
};
