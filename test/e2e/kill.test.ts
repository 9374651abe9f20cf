// An agent that is killed at any moment: what it acknowledged is true, what it did not is wholly there or wholly
// gone, nothing else is left, and traffic between pods that nobody touched does not notice.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import ava from "ava";
import { CallError, everything } from "../../src/client/index.ts";
import { DropReason } from "../../src/datapath/drop-reasons.ts";
import { type Endpoint, EndpointState, endpointStateToJSON } from "../../src/gen/waggle/v1/endpoint.ts";
import { createWorld, type World, waggleArgv } from "../../src/playground/index.ts";
import { dropsByReason } from "../support/events.ts";
import { eventually } from "../support/eventually.ts";
import { linksIn, takeInventory } from "../support/inventory.ts";
import { echo } from "../support/traffic.ts";
import { kernelTest } from "../support/world-tests.ts";
import { allChains, fixture, shipped, unregisterAll } from "./fixtures/plugins/index.ts";
import { stateOf, steadyTraffic } from "./fixtures/steady.ts";

const kills = 40;
const killsDuringStart = 10;
/** An operation takes some 100 ms: kills fall before, into and behind it. */
const longestDelayMs = 100;
const ingress = "to_container_pre_ct_v4";
const seed = Number(process.env.KILL_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** Uniform numbers in [0, 1) that a seed repeats: mulberry32. */
function randomFrom(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const random = randomFrom(seed);
const below = (limit: number): number => Math.floor(random() * limit);
const oneOf = <T>(items: readonly T[]): T => items[below(items.length)]!;

/** A thing of the agent's: what it must be now, one of several where a call was not answered. */
interface Tracked {
  /** Allowed states, as text. */
  states: readonly string[];
  /** Begins a change; the text is the state it leads to. */
  change(): { readonly to: string; readonly call: Promise<unknown> };
  /** The state as the agent tells it. */
  read(): Promise<string>;
}

const gone = "gone";

async function unlessMissing<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof CallError && error.status === "NOT_FOUND") return undefined;
    throw error;
  }
}

/** A pod that is created, relabelled and deleted. Its state is the value of its label `turn`. */
function trackedPod(world: World, name: string): Tracked {
  const { endpointName } = world.pod(name);
  const ref = { ref: { $case: "name" as const, value: endpointName } };
  const find = async (): Promise<Endpoint | undefined> =>
    (await unlessMissing(world.client.endpoints.getEndpoint({ endpoint: ref })))?.endpoint;
  let turn = 0;
  const tracked: Tracked = {
    states: [gone],
    change() {
      const labels = { app: name, turn: `${++turn}` };
      if (tracked.states[0] === gone)
        return { to: labels.turn, call: world.createEndpoint(name, { labels }) };
      if (random() < 0.4) {
        const call = world.client.endpoints.updateEndpoint({
          endpoint: ref,
          labels: { labels },
          policy: undefined,
        });
        return { to: labels.turn, call };
      }
      return { to: gone, call: world.client.endpoints.deleteEndpoint({ endpoint: ref }) };
    },
    async read() {
      const endpoint = await find();
      const inPod = await world.exec(name, ["ip", "link", "show", "eth0"]);
      if (endpoint === undefined) {
        if (inPod.code === 0) throw new Error(`${name} is gone, and its interface is not`);
        return gone;
      }
      if (endpoint.state !== EndpointState.READY) {
        throw new Error(`${name} is ${endpointStateToJSON(endpoint.state)}: ${endpoint.stateReason}`);
      }
      const { received } = await echo(world, "pod1", endpoint.ipv4, 1);
      if (received !== 1) throw new Error(`${name} is ready and does not answer`);
      return endpoint.spec!.labels.turn!;
    },
  };
  return tracked;
}

/** A plugin that is registered, enabled, moved, disabled and unregistered. Its state: "on 5", "off 5", "gone". */
function trackedPlugin(world: World, name: string, directory: string): Tracked {
  const { plugins } = world.client;
  const tracked: Tracked = {
    states: [gone],
    change() {
      const [state = gone, priority = "0"] = tracked.states[0]!.split(" ");
      if (state === gone) {
        const wanted = below(1_000);
        const request = { directory, enable: true, priority: wanted, config: {}, replaceMaps: false };
        return { to: `on ${wanted}`, call: plugins.registerPlugin(request) };
      }
      switch (below(4)) {
        case 0:
          return { to: gone, call: plugins.unregisterPlugin({ name }) };
        case 1: {
          const wanted = below(1_000);
          const call = plugins.configurePlugin({ name, priority: wanted, config: {} });
          return { to: `${state} ${wanted}`, call };
        }
        default:
          return state === "on"
            ? { to: `off ${priority}`, call: plugins.disablePlugin({ name }) }
            : { to: `on ${priority}`, call: plugins.enablePlugin({ name }) };
      }
    },
    async read() {
      const plugin = (await unlessMissing(plugins.getPlugin({ name })))?.plugin;
      return plugin === undefined ? gone : `${plugin.enabled ? "on" : "off"} ${plugin.priority}`;
    },
  };
  return tracked;
}

/** Starts a change; what it leads to is possible from now on, and certain when it was acknowledged. */
function begin(tracked: Tracked): Promise<void> {
  const { to, call } = tracked.change();
  const before = tracked.states;
  tracked.states = [...before, to];
  return call.then(
    () => {
      tracked.states = [to];
    },
    (error: unknown) => {
      // Killed before it could answer. Anything else is a refusal that nothing here gives cause for.
      if (!(error instanceof CallError) || !["UNAVAILABLE", "CANCELLED"].includes(error.status)) throw error;
    },
  );
}

/** Every pod's chain must be what the enabled plugins make. */
async function chainsAreAsPlanned(world: World): Promise<void> {
  const { chains: planned } = await world.client.plugins.planChains({
    enable: [],
    disable: [],
    priorities: {},
  });
  const expected = planned.find(({ hook }) => hook === ingress)?.plugins.join() ?? "";
  const running = (await allChains(world)).filter(({ hook }) => hook === ingress);
  for (const { attachment, links } of running) {
    const linked = links.map(({ plugin }) => plugin).join();
    if (linked !== expected) throw new Error(`${attachment} runs [${linked}], planned is [${expected}]`);
  }
}

/** Starts an agent and kills it some way into its start. */
async function killDuringStart(world: World): Promise<void> {
  const { stateDir, bpfRoot, socket } = world.scratch;
  const argv = waggleArgv(
    ...["agent", "--state-dir", stateDir, "--bpf-root", bpfRoot, "--socket", socket],
    ...["--node-name", "node", "--devices", "eth0", "--pod-cidr", world.addressing.podCidr],
  );
  const child = world.spawn("node", argv, "ignore");
  const ended = new Promise((resolve) => child.once("close", resolve));
  await sleep(200 + below(800));
  child.kill("SIGKILL");
  await ended;
}

/** Ids of programs that were listed at some time. */
async function noteProgramIds(world: World, into: Set<number>): Promise<void> {
  const programs = await everything(
    (page) => world.client.datapath.listPrograms({ ...page, attachment: "" }),
    (page) => page.programs,
  );
  for (const { id } of programs) into.add(id);
  for (const { links } of await allChains(world)) for (const { programId } of links) into.add(programId);
}

async function loadedIds(world: World): Promise<ReadonlySet<number>> {
  const output = await world.run("node", ["bpftool", "--json", "prog", "list"]);
  return new Set((JSON.parse(output) as { readonly id: number }[]).map(({ id }) => id));
}

await kernelTest("killing the agent", () => {
  ava("an agent killed at fifty random moments keeps its word, and traffic does not notice", async (t) => {
    t.timeout(600_000);
    t.log(`seed ${seed}: repeat with KILL_SEED=${seed}`);
    // With its modules compiled an agent starts in half the time. It keeps what it compiled when it ends by itself.
    const cache = await mkdtemp(join(tmpdir(), "waggle-kill-"));
    const world = await createWorld({
      pods: 5,
      endpoints: false,
      agentEnv: { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? cache },
      agentArguments: ["--identity-restore-grace-period", "2s"],
    });
    try {
      await world.restartAgent();
      await world.createEndpoint("pod1");
      await world.createEndpoint("pod2");
      // Compiled once, so that registering is as quick as everything else; whatever remains is part of "before".
      for (const directory of [shipped("packet-counter"), fixture("stamp"), fixture("fussy")]) {
        await world.registerPlugin({ directory });
      }
      await unregisterAll(world);
      const inventory = await takeInventory(world);
      const before = await stateOf(world);
      const drops = await droppedFromTraffic(world);
      const traffic = await steadyTraffic(world, "pod1", "pod2", { port: 7_000, pings: 2 });

      const pods = ["pod3", "pod4", "pod5"].map((name) => trackedPod(world, name));
      const plugins = [
        trackedPlugin(world, "packet-counter", shipped("packet-counter")),
        trackedPlugin(world, "stamp", fixture("stamp")),
        trackedPlugin(world, "fussy", fixture("fussy")),
      ];
      const seen = new Set<number>();
      let acknowledged = 0;
      let begun = 0;
      for (let round = 0; round < kills; round++) {
        const changing = new Set([oneOf(pods), oneOf(pods), oneOf(plugins)]);
        const changes = [...changing].map((tracked) => begin(tracked));
        // Every other time somewhere behind the first answer, which on a busy machine may take long.
        if (round % 2 === 0) await Promise.race([...changes, sleep(2_000)]);
        await sleep(below(longestDelayMs));
        await world.killAgent("SIGKILL");
        await Promise.all(changes);
        begun += changing.size;
        acknowledged += [...changing].filter(({ states }) => states.length === 1).length;
        if (round % (kills / killsDuringStart) === 0) await killDuringStart(world);
        await world.startAgent();
        const all = [...pods, ...plugins];
        const states = await Promise.all(all.map((tracked) => tracked.read()));
        for (const [index, tracked] of all.entries()) {
          const state = states[index]!;
          t.true(
            tracked.states.includes(state),
            `round ${round}: ${state} is none of ${tracked.states.join(", ")}`,
          );
          tracked.states = [state];
        }
        await Promise.all([chainsAreAsPlanned(world), noteProgramIds(world, seen)]);
      }

      const { sent, lost, messages, received } = await traffic.end();
      t.log("dropped:", Object.fromEntries(await dropsByReason(world)));
      t.log({ begun, acknowledged, sent, lost, messages, received, programs: seen.size });
      t.is(lost, 0);
      t.is(received, messages);
      t.deepEqual(await droppedFromTraffic(world), drops);
      t.true(acknowledged > 0 && acknowledged < begun, "kills fell on both sides of the answers");

      for (const name of ["default/pod3", "default/pod4", "default/pod5"]) {
        const endpoint = { ref: { $case: "name" as const, value: name } };
        await unlessMissing(world.client.endpoints.deleteEndpoint({ endpoint }));
      }
      await unregisterAll(world);
      await eventually("identities that an agent died with are dropped", async () => {
        const { identities } = await world.client.identities.listIdentities({
          pageSize: 1_000,
          pageToken: "",
        });
        return identities.every(({ references, reserved }) => references > 0 || reserved !== "");
      });
      t.deepEqual(stableOf(await stateOf(world)), stableOf(before), "the two pods are what they were");
      const left = await takeInventory(world);
      t.deepEqual(withoutNames(left.pins), withoutNames(inventory.pins));
      t.deepEqual({ ...left, pins: [] }, { ...inventory, pins: [] });
      for (const pod of ["pod3", "pod4", "pod5"]) t.deepEqual(await linksIn(world, pod), ["lo"]);
      const current = new Set<number>();
      await noteProgramIds(world, current);
      await eventually("all other programs are gone from the kernel", async () => {
        const loaded = await loadedIds(world);
        return [...seen].every((id) => current.has(id) || !loaded.has(id));
      });
    } catch (error) {
      t.log(await world.agentLog(40));
      throw error;
    } finally {
      const { items } = await world.destroy();
      await rm(cache, { recursive: true, force: true });
      t.deepEqual(items, []);
    }
  });
});

/**
 * Dropped packets by reason, but for those of pods that come or go: their kernels speak of themselves and ask for
 * neighbours (RFC 4861, RFC 3810) as soon as there is a device, and are not ready while their agent lies dead.
 */
async function droppedFromTraffic(world: World): Promise<Readonly<Record<string, number>>> {
  const drops = new Map(await dropsByReason(world));
  drops.delete(DropReason.endpointNotReady);
  return Object.fromEntries(drops);
}

/** Pins of arrays have random ends. */
const withoutNames = (pins: readonly string[]): readonly string[] =>
  pins.map((pin) => pin.replace(/-[0-9a-f]{8}$/, "")).sort();

/** What must not have changed of the state: nothing but how often programs were loaded. */
function stableOf(state: Readonly<Record<string, unknown>>): unknown {
  const { programs: _, chains: __, endpoints, ...rest } = state;
  return {
    ...rest,
    endpoints: (endpoints as Endpoint[]).map((endpoint) => ({ ...endpoint, generation: 0 })),
  };
}
