import { makeDirectory } from "../../src/playground/scratch.ts";
import { steadyPing } from "../../src/playground/traffic.ts";
import { Undo } from "../../src/playground/undo.ts";
import { createBenchEndpoint, inParallel } from "../bench-endpoints.ts";
import { benchWorld } from "../bench-world.ts";
import { writeNothingPlugin } from "../nothing-plugins.ts";
import { spareNamespaces } from "../spare-namespaces.ts";
import { summarise } from "../statistics.ts";
import { type Row, type Suite, target } from "../suite.ts";

const hooks = [
  "from_container_pre_service_v4",
  "from_container_pre_forward_v4",
  "to_container_pre_ct_v4",
  "to_container_pre_deliver_v4",
] as const;
const [first, second] = ["churn-first", "churn-second"] as const;

export const pluginChurn: Suite = {
  name: "plugin-churn",
  title: "Plugins that come and go",
  method:
    "Two do-nothing plugins at four hook points of 200 pods: one is enabled beside the other, their order is changed, " +
    "and it is disabled, each timed from the call to its answer, which comes when all chains are swung. Meanwhile an " +
    "echo request every 10 ms from pod to pod: all must be answered.",
  async run({ effort, signal, progress }) {
    const undo = new Undo();
    try {
      progress("setting up");
      const count = effort.scale < 1 ? 5 : 200;
      // Each takes some milliseconds: many of them, so that echo requests meet some.
      const cycles = effort.scale < 1 ? 2 : 20;
      const directory = await makeDirectory("plugins", undo);
      const world = await benchWorld({ pods: 2, signal });
      undo.add("world", async () => void (await world.destroy()));
      const namespaces = await spareNamespaces(count - 2, undo);
      await inParallel(namespaces, 8, (namespace) => createBenchEndpoint(world, namespace));
      for (const name of [first, second]) {
        const plugin = await writeNothingPlugin(directory, name, hooks);
        await world.registerPlugin({ directory: plugin, enable: name === first });
      }
      const { plugins } = world.client;
      const steps: readonly { readonly name: string; act(cycle: number): Promise<unknown> }[] = [
        { name: "enable", act: () => plugins.enablePlugin({ name: second }) },
        {
          name: "reorder",
          act: (cycle) =>
            plugins.configurePlugin({ name: second, priority: cycle % 2 === 0 ? 50 : 200, config: {} }),
        },
        { name: "disable", act: () => plugins.disablePlugin({ name: second }) },
      ];
      const samples = new Map<string, number[]>(steps.map(({ name }) => [name, []]));
      const lost: number[] = [];
      let sent = 0;
      for (let round = effort.warmUp ? 0 : 1; round <= effort.rounds; round += 1) {
        const ping = await steadyPing(world, "pod1", world.pod("pod2").ipv4);
        progress(`round ${round}`);
        for (let cycle = 0; cycle < cycles; cycle += 1) {
          signal.throwIfAborted();
          for (const { name, act } of steps) {
            const started = performance.now();
            await act(cycle);
            if (round > 0) samples.get(name)!.push(performance.now() - started);
          }
        }
        const result = await ping.end();
        sent += result.sent;
        lost.push(result.lost);
      }
      const rows = [...samples].map(
        ([name, values]): Row => ({
          name: `${name}, ${count} pods, ${hooks.length} hook points`,
          unit: "ms",
          better: "lower",
          variants: [{ name: "waggle", samples: values }],
        }),
      );
      return {
        rows,
        targets: [
          ...[...samples].map(([name, values]) => target(name, "at most", 1_000, summarise(values), "ms")),
          target(
            "packets lost",
            "at most",
            0,
            summarise([lost.reduce((sum, one) => sum + one, 0)]),
            "packets",
          ),
        ],
        remarks: [`${sent} echo requests were sent meanwhile.`],
      };
    } finally {
      await undo.run();
    }
  },
};
