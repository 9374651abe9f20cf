import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { findClang } from "../../src/datapath/compiler/clang.ts";
import { runtimeEnv, runtimeFlags } from "../../src/playground/agent-process.ts";
import { run } from "../../src/playground/command.ts";
import { makeDirectory, makeScratch } from "../../src/playground/scratch.ts";
import { Undo } from "../../src/playground/undo.ts";
import { sharedCache } from "../bench-world.ts";
import { interleave, samplesOf } from "../interleave.ts";
import { ratio, summarise } from "../statistics.ts";
import { type Suite, type SuiteContext, target } from "../suite.ts";

/** What bench/ipcache-agent.ts answers. */
interface Answer {
  readonly ms: number;
  readonly residentMiB: number;
  readonly perSecond: number;
  readonly delayP99Ms: number;
  readonly cores: number;
}

/** A process with the ipcache cell, and orders for it. */
class IpCacheAgent {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #complaint = "";

  constructor(stateDir: string, bpfRoot: string, cacheDir: string) {
    const file = join(import.meta.dirname, "../ipcache-agent.ts");
    const args = ["--state-dir", stateDir, "--bpf-root", bpfRoot, "--cache-dir", cacheDir];
    // The runtime keeps what it has compiled, as the agent does.
    const env = { ...process.env, ...runtimeEnv, NODE_COMPILE_CACHE: join(cacheDir, "node") };
    this.#child = spawn(process.execPath, [...runtimeFlags, file, ...args], { stdio: "pipe", env });
    this.#child.stderr!.on("data", (data: Buffer) => {
      this.#complaint = `${this.#complaint}${data}`.slice(-2_000);
    });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** The next line it writes. @throws Error when it ended */
  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`the process with the ipcache ended: ${this.#complaint}`);
    return value;
  }

  async order(what: string, count: number, perSecond = 0, seconds = 0): Promise<Answer> {
    this.#child.stdin!.write(`${JSON.stringify({ what, count, perSecond, seconds })}\n`);
    return JSON.parse(await this.line()) as Answer;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.stdin!.end();
    const kill = setTimeout(() => this.#child.kill("SIGKILL"), 10_000);
    await gone;
    clearTimeout(kill);
  }
}

/** Compiles the program that updates one entry after the other. Resolves to its path. @throws CommandError */
async function compileOneByOne(directory: string): Promise<string> {
  const program = join(directory, "one-by-one");
  const { path } = await findClang(undefined);
  await run([path, "-O2", "-Wall", "-o", program, join(import.meta.dirname, "../bpf/one_by_one.c")]);
  return program;
}

async function measure(
  agent: IpCacheAgent,
  program: string,
  { effort, signal, progress }: SuiteContext,
  count: number,
) {
  const resident: number[] = [];
  const syncDelays: number[] = [];
  const syncs = await interleave(
    [
      {
        name: "C, one by one",
        measure: async () => Number(await run([program, `${count}`])),
      },
      {
        name: "waggle",
        measure: async () => {
          const { ms, residentMiB, delayP99Ms } = await agent.order("sync", count);
          resident.push(residentMiB);
          syncDelays.push(delayP99Ms);
          await agent.order("clear", count);
          return ms;
        },
      },
    ],
    { effort, signal, visits: 3, onSample: (contender, round) => progress(`${contender}, round ${round}`) },
  );
  await agent.order("sync", count);
  const changes: Answer[] = [];
  for (let round = 0; round < effort.rounds; round += 1) {
    signal.throwIfAborted();
    progress(`1,000 changes a second, round ${round + 1}`);
    changes.push(await agent.order("changes", count, 1_000, effort.scale < 1 ? 1 : 5));
  }
  return { syncs, resident, syncDelays: syncDelays.slice(effort.warmUp ? 1 : 0), changes };
}

export const ipcacheScale: Suite = {
  name: "ipcache-scale",
  title: "60,000 addresses",
  method:
    "The agent's ipcache cell with its table, reconciler and the kernel's LPM trie in a process of its own: 60,000 pods " +
    "of 1,000 nodes arrive at once, beside a C program that writes as many to such a map with bpf(2), one after the " +
    "other; and then 1,000 changes a second for five seconds, with the lateness of timers (perf_hooks) and resident memory.",
  async run(context) {
    const count = context.effort.scale < 1 ? 5_000 : 60_000;
    const undo = new Undo();
    try {
      const directory = await makeDirectory("ipcache", undo);
      const { stateDir, bpfRoot } = await makeScratch(join(directory, "agent"), true, undo);
      const program = await compileOneByOne(directory);
      const start = async (): Promise<IpCacheAgent> => {
        const agent = new IpCacheAgent(stateDir, bpfRoot, sharedCache());
        undo.add("the process with the ipcache", () => agent.end());
        await agent.line();
        return agent;
      };
      context.progress("starting");
      // The very first start of all compiles; no later one does.
      await (await start()).end();
      const agent = await start();
      const { syncs, resident, syncDelays, changes } = await measure(agent, program, context, count);
      const of = (name: keyof Answer): readonly number[] => changes.map((answer) => answer[name]);
      const waggle = (samples: readonly number[]) => [{ name: "waggle", samples }];
      const memory = [Math.max(...resident, ...of("residentMiB"))];
      return {
        rows: [
          { name: `first sync of ${count} entries`, unit: "ms", better: "lower", variants: syncs },
          { name: "changes", unit: "1/s", better: "higher", variants: waggle(of("perSecond")) },
          {
            name: "event-loop delay in the first sync, p99",
            unit: "ms",
            better: "lower",
            variants: waggle(syncDelays),
          },
          {
            name: "event-loop delay with changes, p99",
            unit: "ms",
            better: "lower",
            variants: waggle(of("delayP99Ms")),
          },
          { name: "processor", unit: "cores", better: "lower", variants: waggle(of("cores")) },
          { name: "resident memory, most seen", unit: "MiB", better: "lower", variants: waggle(memory) },
        ],
        targets: [
          target(
            "first sync against C",
            "at most",
            1.5,
            ratio(samplesOf(syncs, "waggle"), samplesOf(syncs, "C, one by one")),
          ),
          target("event-loop delay in the first sync, p99", "at most", 20, summarise(syncDelays), "ms"),
          target("event-loop delay with changes, p99", "at most", 20, summarise(of("delayP99Ms")), "ms"),
          target("resident memory", "at most", 250, summarise(memory), "MiB"),
        ],
        remarks: [],
      };
    } finally {
      await undo.run();
    }
  },
};
