import { join } from "node:path";
import { createKernelDatapath, type Datapath } from "../../src/datapath/index.ts";
import { makeDirectory } from "../../src/playground/scratch.ts";
import { Undo } from "../../src/playground/undo.ts";
import { loadBareChain } from "../bare-chain.ts";
import { udpFrame } from "../frame.ts";
import { HookNodes } from "../hook-nodes.ts";
import { type Contender, interleave, samplesOf } from "../interleave.ts";
import { timeProgram } from "../path-run.ts";
import { ratio, type Summary } from "../statistics.ts";
import { type Effort, type Row, type Suite, type SuiteContext, target, type Variant } from "../suite.ts";

/** How many plugins; a short run makes do with few, because each is compiled and verified. */
const countsFor = ({ scale }: Effort): readonly number[] => (scale < 1 ? [0, 1, 2] : [0, 1, 2, 4, 8, 16]);

const pluginsName = (count: number): string => `path, ${count} plugins`;
const aloneName = (links: number): string => `bare chain, ${links} links`;
const hookless = "path without hook points";

/** Of any pods: the bare chain by itself does not look at it. */
const anyFrame = udpFrame({
  sourceMac: "02:00:00:00:00:01",
  destinationMac: "02:00:00:00:00:02",
  source: "10.90.0.1",
  destination: "10.90.0.2",
});

/** A chain by itself, loaded anew for each visit, as plugins are when their number changes. */
async function measureAlone(datapath: Datapath, links: number, testRuns: number): Promise<number> {
  const chain = await loadBareChain(datapath, links);
  try {
    return timeProgram(chain.entry, anyFrame, testRuns);
  } finally {
    chain.close();
  }
}

/** Measures everything, on nodes that are set up anew for each round. */
async function measure({ effort, signal, progress }: SuiteContext): Promise<readonly Variant[]> {
  const undo = new Undo();
  const counts = countsFor(effort);
  const most = Math.max(...counts);
  const testRuns = Math.ceil(100 * effort.scale);
  let nodes: HookNodes | undefined;
  try {
    const directory = await makeDirectory("hook-cost", undo);
    const datapath = createKernelDatapath({ cacheDir: join(directory, "cache") });
    undo.add("datapath", () => datapath.close());
    const contenders: readonly Contender[] = [
      { name: hookless, measure: async () => nodes!.measureHookless(testRuns) },
      ...counts.map((count) => ({
        name: pluginsName(count),
        measure: () => nodes!.measure(count, testRuns),
      })),
      ...counts.map((links) => ({
        name: aloneName(links),
        measure: () => measureAlone(datapath, links, testRuns),
      })),
    ];
    return await interleave(contenders, {
      // A round's first visits are to new nodes: no other one could warm them up.
      effort: { ...effort, warmUp: false },
      signal,
      visits: 4,
      beforeRound: async () => {
        progress("a node with hook points, and one without");
        await nodes?.close();
        nodes = await HookNodes.create(most, datapath.bpf, signal);
      },
      onSample: (contender, round) => progress(`${contender}, round ${round}`),
    });
  } finally {
    await nodes?.close();
    await undo.run();
  }
}

/** Nanoseconds a hop adds on average, sample by sample: from so many to so many. */
function hopCost(
  variants: readonly Variant[],
  [from, to]: readonly [number, number],
  name: (count: number) => string,
): readonly number[] {
  const [few, many] = [samplesOf(variants, name(from)), samplesOf(variants, name(to))];
  return many.map((value, index) => (value - few[index]!) / (to - from));
}

/** A hop takes some time: a difference that says otherwise is the machine's doing, and no ratio to it is good. */
function hopRatio(plugin: readonly number[], bare: readonly number[]): Summary {
  const ours = plugin.map((cost) => (cost > 0 ? cost : Number.POSITIVE_INFINITY));
  const theirs = bare.map((cost) => Math.max(cost, 0));
  return ratio(ours, theirs);
}

const nanoseconds = { unit: "ns", better: "lower" } as const;

function rowsOf(variants: readonly Variant[], counts: readonly number[]): readonly Row[] {
  const most = Math.max(...counts);
  const named = (name: string, as: string): Variant => ({ name: as, samples: samplesOf(variants, name) });
  return [
    {
      name: "a packet, egress and ingress, no plugins",
      ...nanoseconds,
      variants: [named(hookless, "without hook points"), named(pluginsName(0), "waggle")],
    },
    ...(
      [
        ["the first hop", [0, 1]],
        [`a further hop, average of ${most - 1}`, [1, most]],
      ] as const
    ).map(([name, hops]) => ({
      name,
      ...nanoseconds,
      variants: [
        { name: "bare C", samples: hopCost(variants, hops, aloneName) },
        { name: "plugin", samples: hopCost(variants, hops, pluginsName) },
      ],
    })),
    ...counts.map((at) => ({
      name: `a packet, ${at} plugins or links`,
      ...nanoseconds,
      variants: [named(aloneName(at), "bare chain"), named(pluginsName(at), "waggle's path")],
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
    "sources compiled with every jump to a hook point leading straight to the stage behind it; and a bare chain of " +
    "tail calls in C with a per-CPU counter in each link. A further hop's cost is the difference between the most and " +
    "one, by their number; with the first one packets also leave the short way that they take where no hook point has a plugin. Each round " +
    "has new nodes, and of all visits the fastest quarter counts. An empty test run is in all times.",
  async run(context) {
    const variants = await measure(context);
    const counts = countsFor(context.effort);
    const most = Math.max(...counts);
    const share = ratio(samplesOf(variants, pluginsName(0)), samplesOf(variants, hookless));
    const hops = [1, most] as const;
    const hop = hopRatio(hopCost(variants, hops, pluginsName), hopCost(variants, hops, aloneName));
    return {
      rows: rowsOf(variants, counts),
      targets: [
        target("no plugins against no hook points", "at most", 1.02, share),
        target("a plugin's further hop against the bare one", "at most", 1.15, hop),
      ],
      remarks: [],
    };
  },
};
