import { everything } from "../client/index.ts";
import type { DemoResults } from "./demo.ts";
import { hooks } from "./demo-counters.ts";
import { chainsOf, chainsText, demoPlugins, order } from "./demo-plugins.ts";
import type { DemoReport, DemoStyle } from "./demo-report.ts";
import { createWorld } from "./world.ts";

const [first, second] = demoPlugins;

/** The same API calls on a datapath in memory. @throws DemoStopped */
export async function runFakeSteps(
  report: DemoReport,
  results: DemoResults,
  _style: DemoStyle,
  signal: AbortSignal,
): Promise<void> {
  const world = await report.step(
    "An agent with two pods",
    "The agent computes addresses, identities and maps as it would for the kernel.",
    async (step) => {
      const created = await createWorld({ pods: 2, datapath: "fake", signal });
      results.world = created;
      for (const pod of created.pods) {
        step.claim(
          `${pod.name} has an address`,
          pod.ipv4 !== "",
          `${pod.ipv4}, endpoint ${pod.id}, identity ${pod.endpoint.identity}`,
        );
      }
      const entries = await everything(
        (page) => created.client.datapath.listMapEntries({ ...page, map: "cilium_lxc" }),
        (page) => page.entries,
      );
      step.show(`cilium_lxc\n${entries.map(({ key, values }) => `${key}  ${values.join(" ")}\n`).join("")}`);
      const known = created.pods.every((pod) => entries.some(({ key }) => key.startsWith(pod.ipv4)));
      step.claim("the map of local addresses holds both", known, `${entries.length} entries`);
      return created;
    },
  );
  const attachment = `lxc-${world.pods[0]!.id}`;
  const { plugins } = world.client;
  const now = async () => order(await chainsOf(world, attachment), hooks.podIngress);

  await report.step(
    "Two plugins are ordered into chains",
    "The linker computes which plugin runs where, and adds up the tail calls of the longest path.",
    async (step) => {
      for (const { directory } of demoPlugins) await world.registerPlugin({ directory });
      step.show(chainsText(await chainsOf(world, attachment)));
      const names = await now();
      step.claim(
        "both are in the chain of pod1",
        names.join() === `${first.name},${second.name}`,
        names.join(" → "),
      );
    },
  );
  await report.step(
    "Plugins change",
    "One is taken out, put back, and the two swap places. No packet was there to notice.",
    async (step) => {
      await plugins.disablePlugin({ name: second.name });
      step.claim(`${second.name} is out`, (await now()).join() === first.name, (await now()).join(" → "));
      await plugins.enablePlugin({ name: second.name });
      await plugins.configurePlugin({ name: second.name, priority: 1, config: {} });
      const names = await now();
      step.claim(
        "the two have swapped places",
        names.join() === `${second.name},${first.name}`,
        names.join(" → "),
      );
    },
  );
  results.plugins = Object.fromEntries(demoPlugins.map(({ name }) => [name, {}]));
}
