// Worlds, the playground, cleanup and the demo on the real kernel.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import anyTest from "ava";
import {
  AgentError,
  attempt,
  CommandError,
  createWorld,
  inNamespace,
  probeCapabilities,
  removeAbandonedWorlds,
  type World,
} from "../../src/playground/index.ts";
import { eventually } from "../support/eventually.ts";

const may = await probeCapabilities();
const permitted = may.bpf.ok && may.namespaces.ok && process.env.NO_KERNEL_TESTS === undefined;
// Two cores and an agent each: side by side they would only wait for one another.
const test = permitted ? anyTest.serial : anyTest.serial.skip;

const waggle = join(process.cwd(), "bin/waggle");
const namespaces = (id: string): readonly string[] =>
  readdirSync("/run/netns").filter((name) => name.startsWith(id));

/** What is left of a world, whoever should have removed it. */
const traces = (world: World): readonly string[] => [
  ...namespaces(world.id),
  ...(existsSync(world.scratch.directory) ? [world.scratch.directory] : []),
];

test("pods of a world reach each other, the node and the outside, and nothing is left of it", async (t) => {
  const world = await createWorld({ pods: 2 });
  t.teardown(() => world.destroy());
  for (const address of [world.pods[1]!.ipv4, world.addressing.nodeIpv4, world.addressing.outsideIpv4]) {
    const { code, stdout } = await world.exec("pod1", [
      "ping",
      "-n",
      "-c",
      "2",
      "-i",
      "0.05",
      "-W",
      "2",
      address,
    ]);
    t.is(code, 0, stdout);
  }
  t.like(await world.destroy(), { count: 0, items: [] });
  t.deepEqual(traces(world), []);
});

test("a killed agent leaves pods connected, and the next one knows them", async (t) => {
  const world = await createWorld({ pods: 2 });
  t.teardown(() => world.destroy());
  await world.killAgent("SIGKILL");
  const { code } = await world.exec("pod1", [
    "ping",
    "-n",
    "-c",
    "2",
    "-i",
    "0.05",
    "-W",
    "2",
    world.pods[1]!.ipv4,
  ]);
  t.is(code, 0);
  await world.startAgent();
  const { endpoints } = await world.client.endpoints.listEndpoints({
    pageSize: 0,
    pageToken: "",
    labels: {},
  });
  t.deepEqual(
    endpoints.map(({ ipv4 }) => ipv4),
    world.pods.map(({ ipv4 }) => ipv4),
  );
});

test("an agent that cannot start is reported with its own words, and nothing is left", async (t) => {
  let failed: World | undefined;
  const onProgress = (_: string, world: World): void => {
    failed = world;
  };
  const error = await t.throwsAsync(createWorld({ agentArguments: ["--mtu", "1"], onProgress }), {
    instanceOf: AgentError,
  });
  t.regex(error.message, /ended during its start[\s\S]*mtu/);
  t.deepEqual(traces(failed!), []);
});

test("programs of a world get their arguments as they are, and failures keep their words", async (t) => {
  const world = await createWorld({ pods: 0, agent: false });
  t.teardown(() => world.destroy());
  t.is(await world.run("node", ["printf", "%s|", "a b", "$HOME", "*"]), "a b|$HOME|*|");
  await t.throwsAsync(world.run("node", ["sh", "-c", "echo no luck >&2; exit 3"]), {
    instanceOf: CommandError,
    message: /exit code 3: no luck/,
  });
  await t.throwsAsync(async () => world.run("moon", ["true"]), { message: /there are node, outside/ });
});

test("playground --run ends with its command's exit code, and tells it where it is", async (t) => {
  const script = [
    "ip -o link show eth0 >/dev/null || exit 90",
    'test "$(waggle endpoint get default/pod1 --json | grep -c "$WAGGLE_POD1_IPV4")" -ge 1 || exit 91',
    'test -e "/run/netns/$WAGGLE_OUTSIDE_NETNS" || exit 92',
    "echo $WAGGLE_NODE_NETNS; exit 7",
  ].join("; ");
  const { code, stdout, stderr } = await attempt([
    waggle,
    "playground",
    "--pods",
    "1",
    "--run",
    "sh",
    "-c",
    script,
  ]);
  t.is(code, 7, stderr);
  t.regex(stdout, /^wg[0-9a-f]{6}-node\n$/);
  t.deepEqual(namespaces(stdout.trim()), []);
});

/** Starts a playground and waits for it to be up. */
async function startPlayground() {
  const child = spawn(waggle, ["playground", "--pods", "1", "--json"], { stdio: ["ignore", "pipe", "pipe"] });
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const environment = JSON.parse(line) as Record<string, string>;
  return { child, id: environment.WAGGLE_NODE_NETNS!.replace(/-node$/, "") };
}

test("a playground is taken down when it is interrupted", async (t) => {
  const { child, id } = await startPlayground();
  t.not(namespaces(id).length, 0);
  child.kill("SIGINT");
  const [code] = await once(child, "exit");
  t.is(code, 0);
  t.deepEqual(namespaces(id), []);
});

test("a playground that was killed outright is taken down by the next one", async (t) => {
  const { child, id } = await startPlayground();
  child.kill("SIGKILL");
  await once(child, "exit");
  t.not(namespaces(id).length, 0);
  await removeAbandonedWorlds();
  // Somebody else on this machine may have begun with it before.
  await eventually("it is gone", () => namespaces(id).length === 0);
  t.pass();
});

test("cleanup refuses while the agent runs, and removes everything when it does not", async (t) => {
  const world = await createWorld({
    pods: 1,
    plugins: [{ directory: join(process.cwd(), "bpf/plugins/packet-counter") }],
  });
  t.teardown(() => world.destroy());
  const { stateDir, bpfRoot } = world.scratch;
  const cleanup = (...options: readonly string[]) => {
    const where = ["--state-dir", stateDir, "--bpf-root", bpfRoot, "--socket", world.socket];
    return attempt(inNamespace(world.namespaces.node!, [waggle, "cleanup", ...where, ...options]));
  };
  const devices = () => world.run("node", ["ip", "-br", "link"]);

  const refused = await cleanup();
  t.is(refused.code, 4, refused.stdout);
  t.regex(refused.stderr, new RegExp(`process id ${world.agent.pid}`));
  t.regex(await devices(), /cilium_host/);

  await world.killAgent("SIGKILL");
  const planned = await cleanup("--dry-run", "--json");
  t.is(planned.code, 0, planned.stderr);
  const kinds = (JSON.parse(planned.stdout) as { items: { kind: string }[] }).items.map(({ kind }) => kind);
  t.true(
    ["device", "pins", "directory"].every((kind) => kinds.includes(kind)),
    planned.stdout,
  );
  t.regex(await devices(), /cilium_host/);

  const done = await cleanup();
  t.is(done.code, 0, done.stderr);
  t.notRegex(await devices(), /cilium_|lxc/);
  t.false(existsSync(stateDir));
  t.is((await cleanup()).stdout, "nothing to remove\n");
});

test("cleanup --force stops the agent first", async (t) => {
  const world = await createWorld({ pods: 1 });
  t.teardown(() => world.destroy());
  const where = [
    "--state-dir",
    world.scratch.stateDir,
    "--bpf-root",
    world.scratch.bpfRoot,
    "--socket",
    world.socket,
  ];
  const { code, stderr } = await attempt(
    inNamespace(world.namespaces.node!, [waggle, "cleanup", "--force", ...where]),
  );
  t.is(code, 0, stderr);
  t.false(world.agent.running);
  t.notRegex(await world.run("node", ["ip", "-br", "link"]), /cilium_|lxc/);
});

test("every claim of the demo holds", async (t) => {
  const { code, stdout } = await attempt([waggle, "demo", "--json"], { timeoutMs: 110_000 });
  const facts = JSON.parse(stdout) as {
    steps: { name: string; claims: { claim: string; ok: boolean; seen: string }[] }[];
  };
  const broken = facts.steps.flatMap(({ name, claims }) =>
    claims.filter(({ ok }) => !ok).map(({ claim, seen }) => `${name}: ${claim}: ${seen}`),
  );
  t.deepEqual(broken, []);
  t.is(code, 0);
  t.like(facts, { ok: true, datapath: "kernel", lost: 0, leftovers: 0 });
});
