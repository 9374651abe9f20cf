import type { DemoResults } from "./demo.ts";
import { allStacks, compare, hooks, ownCounter, PluginPackets } from "./demo-counters.ts";
import { chainsOf, chainsText, demoPlugins, order } from "./demo-plugins.ts";
import type { DemoReport, DemoStyle, StepWriter } from "./demo-report.ts";
import { ping, type Running, startTcpServer, steadyChat, steadyPing, transfer } from "./traffic.ts";
import { createWorld, type World } from "./world.ts";

const pings = 10;
const tcpPort = 8080;
const transferBytes = 64 * 1024 * 1024;
/** How often the plugin goes out, comes back and changes places before the changes that are looked at. */
const quietRounds = 5;
/** Priorities before and after the first plugin's, which has 100. */
const [ahead, behind] = [1, 200];
const [first, second] = demoPlugins;

/** Where everything is, with addresses. */
function drawing(one: string, two: string, node: string, outside: string): string {
  const room = Math.max(one.length, two.length);
  return [
    `pod1 ${one.padEnd(room)} ─┐`,
    `     ${" ".repeat(room)}  ├─ node ─ eth0 ${node} ════ ${outside} eth0 ─ outside`,
    `pod2 ${two.padEnd(room)} ─┘`,
    "",
  ].join("\n");
}

async function buildWorld(report: DemoReport, results: DemoResults, signal: AbortSignal): Promise<World> {
  return await report.step(
    "A node, two pods, and the world outside",
    "All of it is network namespaces. The agent runs in the node's; it gives each pod an interface, an address and\nan identity, and attaches BPF programs to the pods' interfaces and to the node's eth0.",
    async (step) => {
      const world = await createWorld({ pods: 2, signal });
      results.world = world;
      const { nodeIpv4, outsideIpv4 } = world.addressing;
      const [one, two] = world.pods;
      step.show(drawing(one!.ipv4, two!.ipv4, nodeIpv4, outsideIpv4));
      for (const pod of world.pods) {
        step.claim(
          `${pod.name} is connected`,
          pod.endpoint.state === 4,
          `endpoint ${pod.id}, identity ${pod.endpoint.identity}`,
        );
      }
      return world;
    },
  );
}

async function linkPlugins(report: DemoReport, world: World): Promise<void> {
  await report.step(
    "Two plugins are linked into the datapath",
    "Each is a directory of BPF C code that knows nothing of the core. Its hooks run between stages of the pipeline:\nwhere a packet goes to a pod, comes from a pod, and arrives at eth0. Each keeps one counter of its own.",
    async (step) => {
      for (const { directory } of demoPlugins) await world.registerPlugin({ directory });
      const pod = world.pods[0]!;
      const chains = await chainsOf(world, `lxc-${pod.id}`);
      step.show(`The chains of pod1, up to the stage that was there anyway:\n${chainsText(chains)}`);
      for (const hook of [hooks.podIngress, hooks.podEgress]) {
        const names = order(chains, hook);
        step.claim(
          `both run at ${hook}`,
          names.join() === `${first.name},${second.name}`,
          names.join(" → ") || "none",
        );
      }
      const host = await chainsOf(world, "netdev-eth0");
      const names = order(host, hooks.netdevIngress);
      step.claim(
        `both run at ${hooks.netdevIngress} of eth0`,
        names.length === 2,
        names.join(" → ") || "none",
      );
    },
  );
}

/** Runs traffic between two readings of all counters and shows that plugins counted exactly what was sent. */
async function counted(world: World, step: StepWriter, traffic: () => Promise<void>): Promise<void> {
  const before = await Promise.all([
    allStacks(world),
    ...demoPlugins.map(({ name }) => PluginPackets.read(world.client, name)),
  ]);
  await traffic();
  const after = await Promise.all([
    allStacks(world),
    ...demoPlugins.map(({ name }) => PluginPackets.read(world.client, name)),
  ]);
  demoPlugins.forEach(({ name }, index) => {
    const packets = { before: before[index + 1] as PluginPackets, after: after[index + 1] as PluginPackets };
    const rows = compare(world, packets, { before: before[0], after: after[0] });
    step.show(`${name}: ${rows.map((row) => `${row.place} ${row.counted}`).join(", ")}\n`);
    const wrong = rows.filter((row) => row.counted !== row.sent);
    step.claim(
      `${name} counted exactly what the pods and the outside sent`,
      wrong.length === 0 && rows.every((row) => row.sent > 0),
      wrong.length === 0
        ? `${rows.reduce((sum, row) => sum + row.counted, 0)} packets at ${rows.length} places`
        : wrong.map((row) => `${row.place}: counted ${row.counted}, sent ${row.sent}`).join("; "),
    );
  });
}

async function sendPings(report: DemoReport, world: World): Promise<void> {
  await report.step(
    "Pings: pod to pod, pod to outside, outside to pod",
    "Requests and answers pass the hooks of both ends. What plugins count is compared with what the IP stacks of the\npods and of the outside say they sent and received (/proc/net/snmp).",
    async (step) => {
      const [one, two] = world.pods;
      const { outsideIpv4 } = world.addressing;
      const podEgress = (await PluginPackets.read(world.client, first.name)).at(hooks.podEgress);
      await counted(world, step, async () => {
        for (const [from, to, name] of [
          ["pod1", two!.ipv4, "pod1 → pod2"],
          ["pod1", outsideIpv4, "pod1 → outside"],
          ["outside", one!.ipv4, "outside → pod1"],
        ] as const) {
          const result = await ping(world, from, to, pings);
          step.claim(
            `${name}: all answered`,
            result.lost === 0 && result.sent === pings,
            `${result.received} of ${result.sent}`,
          );
        }
      });
      // pod1's requests twice, pod2's answers, pod1's answers to the outside.
      const grown = (await PluginPackets.read(world.client, first.name)).at(hooks.podEgress) - podEgress;
      step.claim(
        "pods sent 4 packets for each round of three pings",
        grown === 4 * pings,
        `${grown} of ${4 * pings}`,
      );
    },
  );
}

async function sendTcp(report: DemoReport, world: World): Promise<void> {
  await report.step(
    "A TCP transfer",
    "64 MB from pod1 to pod2 through both plugins at both ends, and the same from the outside.",
    async (step) => {
      const two = world.pods[1]!;
      await startTcpServer(world, "pod2", tcpPort);
      await counted(world, step, async () => {
        for (const from of ["pod1", "outside"]) {
          const { bytes, ms } = await transfer(world, from, { ipv4: two.ipv4, port: tcpPort }, transferBytes);
          const rate = `${((bytes * 8) / ms / 1e6).toFixed(1)} Gbit/s`;
          step.claim(
            `${from} → pod2: every byte arrives`,
            bytes === transferBytes,
            `${bytes} bytes at ${rate}`,
          );
        }
      });
      const own = await ownCounter(world.client, first.name, first.map);
      const bytes = await ownCounter(world.client, second.name, second.map);
      step.show(
        `${second.name}'s own map: ${bytes} bytes, each counted where it was sent and where it arrived\n`,
      );
      const hooksTotal = (await PluginPackets.read(world.client, first.name)).total;
      step.claim(
        `${first.name}'s own map agrees with the hook counters`,
        own === BigInt(hooksTotal),
        `${own} and ${hooksTotal} packets`,
      );
    },
  );
}

/** Traffic in three directions that goes on while something is changed. Returns how many packets were lost. */
async function underTraffic(world: World, step: StepWriter, change: () => Promise<void>): Promise<number> {
  const [one, two] = world.pods;
  const flows: readonly (readonly [string, Running<{ sent: number; lost: number; outageMs: number }>])[] = [
    ["pod1 → pod2", await steadyPing(world, "pod1", two!.ipv4)],
    ["outside → pod1", await steadyPing(world, "outside", one!.ipv4)],
  ];
  const chat = await steadyChat(world, "pod1", { ipv4: two!.ipv4, port: tcpPort });
  await change();
  let lost = 0;
  for (const [name, flow] of flows) {
    const alive = flow.running;
    const result = await flow.end();
    lost += result.lost;
    step.claim(
      `${name}: nothing lost`,
      alive && result.lost === 0 && result.sent > 0,
      `${result.lost} of ${result.sent} pings lost${result.outageMs > 0 ? `, ${result.outageMs} ms without an answer` : ""}`,
    );
  }
  const talk = await chat.end();
  step.claim(
    "the TCP connection lives on",
    talk.sent > 0 && talk.received === talk.sent,
    `${talk.received} of ${talk.sent} messages came back, the slowest in ${talk.longestMs} ms`,
  );
  return lost;
}

async function relink(report: DemoReport, world: World, results: DemoResults): Promise<void> {
  await report.step(
    "Plugins change while packets fly",
    "One plugin is taken out, put back, and the two swap places. Each change builds a fresh chain and swings one slot\nover to it: a packet meets the old chain or the new one, never neither.",
    async (step) => {
      const pod = world.pods[0]!;
      const { plugins } = world.client;
      const now = async (what: string, wanted: readonly string[]): Promise<void> => {
        const chains = await chainsOf(world, `lxc-${pod.id}`);
        const names = order(chains, hooks.podIngress);
        step.claim(what, names.join() === wanted.join(), names.join(" → ") || "none");
      };
      const begun = performance.now();
      results.lost += await underTraffic(world, step, async () => {
        for (let round = 0; round < quietRounds; round++) {
          await plugins.disablePlugin({ name: second.name });
          await plugins.enablePlugin({ name: second.name });
          await plugins.configurePlugin({ name: second.name, priority: ahead, config: {} });
          await plugins.configurePlugin({ name: second.name, priority: behind, config: {} });
        }
        await plugins.disablePlugin({ name: second.name });
        await now(`${second.name} is out`, [first.name]);
        await plugins.enablePlugin({ name: second.name });
        await now(`${second.name} is back`, [first.name, second.name]);
        await plugins.configurePlugin({ name: second.name, priority: ahead, config: {} });
        await now("the two have swapped places", [second.name, first.name]);
        const changes = 4 * quietRounds + 3;
        step.show(
          `${changes} changes of all chains of the node in ${Math.round(performance.now() - begun)} ms\n`,
        );
      });
    },
  );
}

async function restart(report: DemoReport, world: World, results: DemoResults): Promise<void> {
  await report.step(
    "The agent is killed and started again while packets fly",
    "Programs and maps are pinned: the datapath needs no agent to go on. The new one takes over what it finds.",
    async (step) => {
      const before = await PluginPackets.read(world.client, first.name);
      let begun = 0;
      results.lost += await underTraffic(world, step, async () => {
        const old = world.agent.pid;
        await world.killAgent("SIGKILL");
        begun = performance.now();
        await world.startAgent();
        step.claim(
          "a new agent serves",
          world.agent.pid !== old,
          `after ${Math.round(performance.now() - begun)} ms`,
        );
      });
      const after = await PluginPackets.read(world.client, first.name);
      step.claim(
        "plugins went on counting",
        after.total > before.total,
        `${before.total} packets before, ${after.total} now`,
      );
      const { endpoints } = await world.client.endpoints.listEndpoints({
        pageSize: 0,
        pageToken: "",
        labels: {},
      });
      const kept = world.pods.every((pod) =>
        endpoints.some((one) => one.id === pod.id && one.ipv4 === pod.ipv4),
      );
      step.claim(
        "it knows its pods",
        kept && endpoints.length === world.pods.length,
        `${endpoints.length} endpoints`,
      );
      const names = order(await chainsOf(world, `lxc-${world.pods[0]!.id}`), hooks.podIngress);
      step.claim(
        "and the order of plugins",
        names.join() === `${second.name},${first.name}`,
        names.join(" → ") || "none",
      );
    },
  );
}

async function reckon(
  report: DemoReport,
  world: World,
  results: DemoResults,
  style: DemoStyle,
): Promise<void> {
  await report.step(
    "The bill",
    `${first.name} was linked all the time, through every change and without an agent: it must have seen every packet.`,
    async (step) => {
      // Between the first packet and the plugin there was nothing to count: both began at 0 in this world.
      const [stacks, ...packets] = await Promise.all([
        allStacks(world),
        ...demoPlugins.map(({ name }) => PluginPackets.read(world.client, name)),
      ]);
      demoPlugins.forEach(({ name }, index) => {
        results.plugins[name] = packets[index]!.byHook();
        step.show(
          `${style.bold(name)}  ${Object.entries(results.plugins[name]!)
            .map(([hook, count]) => `${hook} ${count}`)
            .join("  ")}\n`,
        );
        step.claim(
          `${name} met no hole in a chain`,
          packets[index]!.missed === 0,
          `${packets[index]!.missed} missed tail calls`,
        );
      });
      const nothing = Object.fromEntries(Object.keys(stacks).map((name) => [name, { sent: 0, received: 0 }]));
      const rows = compare(
        world,
        { before: new PluginPackets([]), after: packets[0]! },
        { before: nothing, after: stacks },
      );
      for (const row of rows)
        step.claim(row.place, row.counted === row.sent, `${row.sent}, counted ${row.counted}`);
    },
  );
}

/** The steps with a real datapath. @throws DemoStopped */
export async function runKernelSteps(
  report: DemoReport,
  results: DemoResults,
  style: DemoStyle,
  signal: AbortSignal,
): Promise<void> {
  const world = await buildWorld(report, results, signal);
  await linkPlugins(report, world);
  await sendPings(report, world);
  await sendTcp(report, world);
  await relink(report, world, results);
  await restart(report, world, results);
  await reckon(report, world, results, style);
}
