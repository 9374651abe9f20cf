import { join } from "node:path";
import { createKernelDatapath } from "../../src/datapath/index.ts";
import type { World } from "../../src/playground/index.ts";
import { makeDirectory } from "../../src/playground/scratch.ts";
import { Undo } from "../../src/playground/undo.ts";
import { loadBareChain } from "../bare-chain.ts";
import { benchWorld } from "../bench-world.ts";
import { writeHooklessSource } from "../hookless.ts";
import { type Contender, interleave, samplesOf } from "../interleave.ts";
import { writeNothingPlugin } from "../nothing-plugins.ts";
import { podEgress, podFrame, timeProgram } from "../path-run.ts";
import { ratio } from "../statistics.ts";
import { type Effort, type Row, type Suite, type SuiteContext, target, type Variant } from "../suite.ts";

const hook = "to_container_pre_ct_v4";

/** How many plugins; a short run makes do with few, because each is compiled and verified. */
const countsFor = ({ scale }: Effort): readonly number[] => (scale < 1 ? [0, 1, 2] : [0, 1, 2, 4, 8, 16]);

const pluginName = (index: number): string => `nothing-${index}`;

/** Keeps the first so many plugins enabled, and the others disabled. */
class EnabledPlugins {
  readonly #world: World;
  #enabled = 0;

  constructor(world: World) {
    this.#world = world;
  }

  async set(wanted: number): Promise<void> {
    const { plugins } = this.#world.client;
    for (; this.#enabled < wanted; this.#enabled += 1)
      await plugins.enablePlugin({ name: pluginName(this.#enabled) });
    for (; this.#enabled > wanted; this.#enabled -= 1)
      await plugins.disablePlugin({ name: pluginName(this.#enabled - 1) });
  }
}

interface Setup {
  readonly contenders: readonly Contender[];
  readonly undo: Undo;
}

const pathName = (plugins: number): string => `path, ${plugins} plugins`;
const bareName = (links: number): string => `bare chain, ${links} links`;
const hookless = "path without hook points";

async function setUp({ effort, progress, signal }: SuiteContext): Promise<Setup> {
  const undo = new Undo();
  const counts = countsFor(effort);
  try {
    const directory = await makeDirectory("hook-cost", undo);
    const datapath = createKernelDatapath({ cacheDir: join(directory, "cache") });
    undo.add("datapath", () => datapath.close());
    const { bpf } = datapath;

    progress("a node with hook points");
    const world = await benchWorld({ signal });
    undo.add("world", async () => void (await world.destroy()));
    for (let index = 0; index < Math.max(...counts); index += 1) {
      const plugin = await writeNothingPlugin(directory, pluginName(index), [hook]);
      await world.registerPlugin({ directory: plugin, enable: false });
    }
    const program = await podEgress(world, "pod1", bpf);
    undo.add("program", () => program.close());
    const frame = podFrame(world);

    progress("a node without hook points");
    const source = join(directory, "hookless");
    await writeHooklessSource(source);
    const bare = await benchWorld({ agentArguments: ["--bpf-source", source], signal });
    undo.add("world without hook points", async () => void (await bare.destroy()));
    const bareProgram = await podEgress(bare, "pod1", bpf);
    undo.add("program", () => bareProgram.close());
    const bareFrame = podFrame(bare);

    const testRuns = Math.ceil(100 * effort.scale);
    const enabled = new EnabledPlugins(world);
    const contenders: Contender[] = [
      { name: hookless, measure: async () => timeProgram(bareProgram, bareFrame, testRuns) },
      ...counts.map((plugins) => ({
        name: pathName(plugins),
        measure: async () => {
          await enabled.set(plugins);
          return timeProgram(program, frame, testRuns);
        },
      })),
    ];
    for (const links of counts) {
      contenders.push({
        name: bareName(links),
        measure: async () => {
          // Loaded anew, as plugins are when their number changes: where the programs come to lie is luck.
          const chain = await loadBareChain(datapath, links);
          try {
            return timeProgram(chain.entry, frame, testRuns);
          } finally {
            chain.close();
          }
        },
      });
    }
    return { contenders, undo };
  } catch (error) {
    await undo.run();
    throw error;
  }
}

/** Nanoseconds a hop adds on average, sample by sample: from none to so many. */
function hopCost(
  variants: readonly Variant[],
  hops: number,
  name: (count: number) => string,
): readonly number[] {
  const [none, all] = [samplesOf(variants, name(0)), samplesOf(variants, name(hops))];
  return all.map((value, index) => (value - none[index]!) / hops);
}

const nanoseconds = { unit: "ns", better: "lower" } as const;

function rowsOf(variants: readonly Variant[], counts: readonly number[]): readonly Row[] {
  const most = Math.max(...counts);
  const named = (name: string, as: string): Variant => ({ name: as, samples: samplesOf(variants, name) });
  return [
    {
      name: "a packet, egress and ingress, no plugins",
      ...nanoseconds,
      variants: [named(hookless, "without hook points"), named(pathName(0), "waggle")],
    },
    ...[1, most].map((hops) => ({
      name: hops === 1 ? "the first hop" : `a hop, average of ${hops}`,
      ...nanoseconds,
      variants: [
        { name: "bare C", samples: hopCost(variants, hops, bareName) },
        { name: "plugin", samples: hopCost(variants, hops, pathName) },
      ],
    })),
    ...counts.map((at) => ({
      name: `a packet, ${at} plugins or links`,
      ...nanoseconds,
      variants: [named(bareName(at), "bare chain alone"), named(pathName(at), "waggle's path")],
      series: { name: "Cost of a chain", axis: "do-nothing plugins at one hook point", at },
    })),
  ];
}

export const hookCost: Suite = {
  name: "hook-cost",
  title: "The cost of hook points and plugins",
  method:
    "BPF_PROG_TEST_RUN of a pod's real programs with a UDP datagram of 64 bytes to another pod of the node, from the " +
    "sender's interface through both pods' stages to the redirect; the connection is known. Beside it the same " +
    "sources compiled with every jump to a hook point leading straight to the stage behind it, and a bare chain of " +
    "tail calls in C with a per-CPU counter in each link. A hop's cost is the difference between the most and none, by their number. " +
    "Visits are short and many, and the fastest sixth of them counts. An empty test run is in all times.",
  async run(context) {
    const { contenders, undo } = await setUp(context);
    try {
      const variants = await interleave(contenders, {
        ...context,
        // A machine that is shared is half as slow again for a while, now and then: visits are short, and many.
        visits: 6,
        onSample: (contender, round) => context.progress(`${contender}, round ${round}`),
      });
      const counts = countsFor(context.effort);
      const most = Math.max(...counts);
      const share = ratio(samplesOf(variants, pathName(0)), samplesOf(variants, hookless));
      const hop = ratio(hopCost(variants, most, pathName), hopCost(variants, most, bareName));
      return {
        rows: rowsOf(variants, counts),
        targets: [
          target("no plugins against no hook points", "at most", 1.02, share),
          target("a plugin against the bare hop", "at most", 1.15, hop),
        ],
        remarks: [],
      };
    } finally {
      await undo.run();
    }
  },
};
