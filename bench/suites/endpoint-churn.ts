import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { quantile } from "simple-statistics";
import { createKernelDatapath } from "../../src/datapath/index.ts";
import type { Endpoint } from "../../src/gen/waggle/v1/endpoint.ts";
import type { World } from "../../src/playground/index.ts";
import { ipBatch, setSysctl } from "../../src/playground/namespaces.ts";
import { makeDirectory } from "../../src/playground/scratch.ts";
import { Undo } from "../../src/playground/undo.ts";
import { createBenchEndpoint, deleteBenchEndpoint, inParallel } from "../bench-endpoints.ts";
import { benchWorld } from "../bench-world.ts";
import { bpfSource } from "../hookless.ts";
import { interleaveMany, samplesOf } from "../interleave.ts";
import { type Knocker, startKnocker } from "../knock.ts";
import { spareNamespaces } from "../spare-namespaces.ts";
import { ratio, summarise } from "../statistics.ts";
import { type Suite, type SuiteContext, target, type Variant } from "../suite.ts";

const gateway = "169.254.1.1";
const burstAtOnce = 16;

const timed = async (act: () => Promise<unknown>): Promise<number> => {
  const started = performance.now();
  await act();
  return performance.now() - started;
};

/** Median and 99th percentile. */
const spread = (samples: readonly number[]): readonly [number, number] => [
  quantile([...samples], 0.5),
  quantile([...samples], 0.99),
];

/** A node whose pods are connected by ip(8) alone: the same pair of devices, addresses and routes. */
class PlainNode {
  readonly #node: string;
  readonly knocker: Knocker;

  private constructor(node: string, knocker: Knocker) {
    this.#node = node;
    this.knocker = knocker;
  }

  static async create(undo: Undo): Promise<PlainNode> {
    const [node, pod] = (await spareNamespaces(2, undo)) as [string, string];
    await setSysctl(node, "net/ipv4/ip_forward", "1");
    const ends = new PlainNode(node, await startKnocker(pod));
    undo.add("the process that knocks", () => ends.knocker.end());
    await ends.connect(pod, "10.91.255.1", "knocker");
    return ends;
  }

  /** Two runs of ip(8), because it can be in one namespace at a time. */
  async connect(pod: string, ipv4: string, device: string): Promise<void> {
    await ipBatch(
      this.#node,
      `link add ${device} type veth peer name eth0 netns ${pod}`,
      `address add ${gateway}/32 dev ${device}`,
      `link set ${device} up`,
      `route add ${ipv4}/32 dev ${device}`,
    );
    await ipBatch(
      pod,
      "link set lo up",
      `address add ${ipv4}/32 dev eth0`,
      "link set eth0 up",
      `route add ${gateway}/32 dev eth0`,
      `route add default via ${gateway} dev eth0`,
    );
  }

  disconnect(device: string): Promise<void> {
    return ipBatch(this.#node, `link delete ${device}`);
  }
}

/** How long clang takes for one pod's programs, when nothing is remembered. */
async function compileOnce(parent: string): Promise<number> {
  const cacheDir = await mkdtemp(join(parent, "cache-"));
  const datapath = createKernelDatapath({ cacheDir });
  try {
    return await timed(() =>
      datapath.compiler.compile({
        source: join(bpfSource, "bpf_lxc.c"),
        includes: [join(bpfSource, "include"), join(bpfSource, "lib"), bpfSource],
        defines: {},
      }),
    );
  } finally {
    datapath.close();
    await rm(cacheDir, { recursive: true, force: true });
  }
}

interface Places {
  readonly world: World;
  readonly knocker: Knocker;
  readonly plain: PlainNode;
  readonly directory: string;
  readonly pods: readonly string[];
}

const waggle = "waggle";
const limit = "ip -batch";

async function oneByOne(places: Places, { effort, signal, progress }: SuiteContext) {
  const { world, knocker, plain, pods } = places;
  const one = async (namespace: string): Promise<number> => {
    let endpoint: Endpoint | undefined;
    const ms = await timed(async () => {
      endpoint = await createBenchEndpoint(world, namespace);
      await knocker.knock(endpoint.ipv4);
    });
    await deleteBenchEndpoint(world, endpoint!);
    return ms;
  };
  const other = async (namespace: string, index: number): Promise<number> => {
    const ipv4 = `10.91.${index >> 8}.${index & 255}`;
    const device = `p${index}`;
    const ms = await timed(async () => {
      await plain.connect(namespace, ipv4, device);
      await plain.knocker.knock(ipv4);
    });
    await plain.disconnect(device);
    return ms;
  };
  const each = async (act: (namespace: string, index: number) => Promise<number>) => {
    const samples: number[] = [];
    for (const [index, namespace] of pods.entries()) samples.push(await act(namespace, index));
    return spread(samples);
  };
  return interleaveMany(
    [
      { name: limit, measure: () => each(other) },
      { name: waggle, measure: () => each(one) },
    ],
    { effort, signal, onSample: (contender, round) => progress(`one by one: ${contender}, round ${round}`) },
  );
}

/** Pods a second: created, and deleted. */
async function burst({ world, pods }: Places): Promise<readonly [number, number]> {
  let endpoints: Endpoint[] = [];
  const created = await timed(async () => {
    endpoints = await inParallel(pods, burstAtOnce, (namespace) => createBenchEndpoint(world, namespace));
  });
  const deleted = await timed(() =>
    inParallel(endpoints, burstAtOnce, (endpoint) => deleteBenchEndpoint(world, endpoint)),
  );
  return [(pods.length * 1_000) / created, (pods.length * 1_000) / deleted];
}

export const endpointChurn: Suite = {
  name: "endpoint-churn",
  title: "Pods that come and go",
  method:
    "From the call of CreateEndpoint until another pod has had an answer from the new one, one pod after the other; " +
    "beside it the same pair of devices, addresses and routes made by two runs of ip -batch (node and pod), and one " +
    "compilation of a pod's programs by clang. Then a burst of pods, 16 calls at a time, and their deletion. The " +
    "namespaces are there before.",
  async run(context) {
    const { effort, progress, signal } = context;
    const undo = new Undo();
    try {
      progress("setting up");
      // Room for them: a node's own network would have 253 addresses for pods.
      const world = await benchWorld({ pods: 1, podCidr: "10.0.0.0/22", signal });
      undo.add("world", async () => void (await world.destroy()));
      const knocker = await startKnocker(world.pod("pod1").namespace);
      undo.add("the process that knocks", () => knocker.end());
      const plain = await PlainNode.create(undo);
      const directory = await makeDirectory("churn", undo);
      const pods = await spareNamespaces(effort.scale < 1 ? 3 : 20, undo);
      const places: Places = { world, knocker, plain, directory, pods };
      const [medians, tails] = (await oneByOne(places, context)) as [readonly Variant[], readonly Variant[]];
      const compiles: number[] = [];
      for (let round = 0; round < effort.rounds; round += 1) {
        signal.throwIfAborted();
        progress(`clang, round ${round + 1}`);
        compiles.push(await compileOnce(directory));
      }
      const many = await spareNamespaces(effort.scale < 1 ? 10 : 500, undo);
      const bursts: (readonly [number, number])[] = [];
      for (let round = 0; round < Math.min(effort.rounds, 3); round += 1) {
        signal.throwIfAborted();
        progress(`a burst of ${many.length}, round ${round + 1}`);
        bursts.push(await burst({ ...places, pods: many }));
      }
      const mine = samplesOf(medians, waggle);
      const alone = (samples: readonly number[]) => [{ name: waggle, samples }];
      const created = bursts.map(([rate]) => rate);
      return {
        rows: [
          { name: "until the first answer, p50", unit: "ms", better: "lower", variants: medians },
          { name: "until the first answer, p99", unit: "ms", better: "lower", variants: tails },
          {
            name: "a pod's programs",
            unit: "ms",
            better: "lower",
            variants: [
              { name: "clang for each pod", samples: compiles },
              { name: "waggle, all in all", samples: mine },
            ],
          },
          {
            name: `a burst of ${many.length}: created`,
            unit: "1/s",
            better: "higher",
            variants: alone(created),
          },
          {
            name: `a burst of ${many.length}: deleted`,
            unit: "1/s",
            better: "higher",
            variants: alone(bursts.map(([, rate]) => rate)),
          },
        ],
        targets: [
          target("p50 against ip -batch", "at most", 2, ratio(mine, samplesOf(medians, limit))),
          target("clang for each pod against waggle", "at least", 50, ratio(compiles, mine)),
          target("burst", "at least", 100, summarise(created), "pods a second"),
        ],
        remarks: [],
      };
    } finally {
      await undo.run();
    }
  },
};
