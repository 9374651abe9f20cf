// Plugins come and go while packets flow; what is asked for is what packets meet, to the last packet.

import { join } from "node:path";
import { CallError } from "../../src/client/index.ts";
import { createKernelDatapath } from "../../src/datapath/index.ts";
import { AttachmentPolicy } from "../../src/gen/waggle/v1/plugin.ts";
import type { World } from "../../src/playground/index.ts";
import { transfer } from "../../src/playground/traffic.ts";
import { droppedPackets } from "../support/events.ts";
import { eventually } from "../support/eventually.ts";
import { startUntilSays } from "../support/programs.ts";
import { echo } from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";
import {
  allChains,
  attachmentOf,
  chainAt,
  countersAt,
  fixture,
  mapValues,
  shipped,
  unregisterAll,
  variant,
  writePlugin,
} from "./fixtures/plugins/index.ts";
import { steadyTraffic } from "./fixtures/steady.ts";

const ingress = "to_container_pre_ct_v4";
const egress = "from_container_pre_service_v4";
const port = 7000;

/** DSCP bits that stamps with these digits leave, in the order they ran. */
const dscp = (...digits: readonly number[]): number =>
  digits.reduce((tos, digit) => ((tos << 2) | (digit << 2)) & 0xff, 0);

/** TOS of an echo request from pod1 as pod2's interface sees it. */
async function tosSeen(world: World): Promise<number> {
  const argv = ["tcpdump", "-n", "-v", "-l", "-c", "1", "-i", "eth0", "icmp[icmptype] == icmp-echo"];
  const capture = await startUntilSays(world, "pod2", argv, /listening on/);
  let seen = "";
  capture.child.stdout!.on("data", (data: string) => {
    seen += data;
  });
  try {
    await echo(world, "pod1", world.pod("pod2").ipv4, 1);
    const match = await eventually("the request is captured", () => /tos (0x[0-9a-f]+)/.exec(seen) ?? false);
    return Number(match[1]);
  } finally {
    await capture.stop();
  }
}

/** Registers a copy of `stamp` with a name of its own. */
async function registerStamp(
  world: World,
  name: string,
  digit: number,
  constraints: { readonly before?: string; readonly after?: string; readonly priority?: number } = {},
): Promise<void> {
  const { before, after, priority } = constraints;
  const lines = [
    ...(before === undefined ? [] : [`    before: [${before}]`]),
    ...(after === undefined ? [] : [`    after: [${after}]`]),
  ];
  const directory = await variant(world, fixture("stamp"), `stamp-${name}-${before}-${after}-${priority}`, {
    "plugin.yaml": (yaml) =>
      yaml
        .replace("name: stamp", `name: ${name}`)
        .replace(`point: ${ingress}`, [`point: ${ingress}`, ...lines].join("\n")),
  });
  await world.registerPlugin({
    directory,
    config: { digit: `${digit}` },
    ...(priority === undefined ? {} : { priority }),
  });
}

const refusalOf = async (call: Promise<unknown>): Promise<CallError> => {
  try {
    await call;
  } catch (error) {
    if (error instanceof CallError) return error;
    throw error;
  }
  throw new Error("the call was not refused");
};

await worldTests("plugins at run time", { pods: 3 }, (register) => {
  const test: typeof register = (title, implementation) =>
    register(title, async (t, world) => {
      try {
        await implementation(t, world);
      } finally {
        await unregisterAll(world);
      }
    });

  test("a plugin sees every packet from the moment it is enabled until it is disabled", async (t, world) => {
    const { plugins } = world.client;
    const target = world.pod("pod2").ipv4;
    const { name, enabled } = await world.registerPlugin({
      directory: shipped("packet-counter"),
      enable: false,
    });
    t.false(enabled);
    await echo(world, "pod1", target, 5);
    t.deepEqual(await mapValues(world, name, "packet_count"), [0]);

    await plugins.enablePlugin({ name });
    await echo(world, "pod1", target, 7);
    // A request and its answer pass two hooks each.
    t.deepEqual(await mapValues(world, name, "packet_count"), [28]);
    for (const pod of ["pod1", "pod2"]) {
      for (const hook of [ingress, egress]) {
        const { packets, next, pass, drop, redirect, other, missed } = await countersAt(
          world,
          name,
          pod,
          hook,
        );
        t.deepEqual([packets, next, pass, drop, redirect, other, missed], [7n, 7n, 0n, 0n, 0n, 0n, 0n]);
      }
    }
    t.is((await countersAt(world, name, "pod3", ingress)).packets, 0n);

    await plugins.disablePlugin({ name });
    await echo(world, "pod1", target, 5);
    t.deepEqual(await mapValues(world, name, "packet_count"), [28], "its map stays, and does not grow");
    t.deepEqual(await chainAt(world, "pod2", ingress), []);

    await plugins.enablePlugin({ name });
    await plugins.enablePlugin({ name });
    await echo(world, "pod1", target, 1);
    t.deepEqual(await mapValues(world, name, "packet_count"), [32]);
    t.is((await countersAt(world, name, "pod1", egress)).packets, 8n, "counters go on where they were");

    await plugins.unregisterPlugin({ name });
    t.is((await refusalOf(plugins.getPlugin({ name }))).status, "NOT_FOUND");
    t.is((await echo(world, "pod1", target)).received, 3);
  });

  test("a plugin's map and counters survive a restart of the agent", async (t, world) => {
    const { name } = await world.registerPlugin({ directory: shipped("packet-counter") });
    await echo(world, "pod1", world.pod("pod2").ipv4, 5);
    await world.restartAgent("SIGKILL");
    await echo(world, "pod1", world.pod("pod2").ipv4, 5);
    t.deepEqual(await mapValues(world, name, "packet_count"), [40]);
    t.is((await countersAt(world, name, "pod2", ingress)).packets, 10n);
  });

  test("whether a plugin rewrites packets is told, for the values it has and across restarts", async (t, world) => {
    const { client } = world;
    const name = "ttl";
    const directory = await writePlugin(world, name, {
      "plugin.yaml": `apiVersion: waggle/v1
name: ${name}
version: 1.0.0
hooks:
  - point: ${egress}
  - point: ${ingress}
config:
  - name: writes
    type: bool
    default: false
`,
      "hooks/lxc.c": `#include <waggle/plugin.h>
PLUGIN_CONFIG(__u8, writes, 0);
HOOK(${egress})
{
	void *end;
	struct iphdr *ip = waggle_ipv4(ctx, &end);

	if (ip && PLUGIN_CONFIG_GET(writes)) {
		ip->check += bpf_htons(0x0100);
		ip->ttl -= 1;
	}
	return HOOK_NEXT;
}
HOOK(${ingress})
{
	return waggle_packet_len(ctx) ? HOOK_NEXT : HOOK_DROP;
}
`,
    });
    const told = async (): Promise<readonly boolean[]> => {
      const { plugin } = await client.plugins.getPlugin({ name });
      return plugin!.hooks.map(({ rewritesPackets }) => rewritesPackets);
    };
    await world.registerPlugin({ directory });
    t.deepEqual(await told(), [false, false]);
    await client.plugins.configurePlugin({ name, config: { writes: "true" } });
    t.deepEqual(await told(), [true, false]);
    t.is((await echo(world, "pod1", world.pod("pod2").ipv4, 3)).received, 3);
    const chains = await allChains(world);
    await world.restartAgent("SIGKILL");
    t.deepEqual(await told(), [true, false]);
    t.deepEqual(await allChains(world), chains);
    await client.plugins.configurePlugin({ name, config: { writes: "false" } });
    t.deepEqual(await told(), [false, false]);
  });

  test("BEFORE and AFTER order plugins, then priority, then name: in chains and on packets", async (t, world) => {
    await registerStamp(world, "aaa", 1);
    await registerStamp(world, "bbb", 2);
    await registerStamp(world, "ccc", 3);
    t.deepEqual(await chainAt(world, "pod2", ingress), ["aaa", "bbb", "ccc"], "equal priority: by name");
    t.is(await tosSeen(world), dscp(1, 2, 3));

    await world.client.plugins.configurePlugin({ name: "ccc", priority: -5, config: {} });
    t.deepEqual(await chainAt(world, "pod2", ingress), ["ccc", "aaa", "bbb"], "priority goes before name");
    t.is(await tosSeen(world), dscp(3, 1, 2));

    await world.client.plugins.unregisterPlugin({ name: "bbb" });
    await registerStamp(world, "bbb", 2, { before: "ccc" });
    await world.client.plugins.unregisterPlugin({ name: "aaa" });
    await registerStamp(world, "aaa", 1, { after: "ccc", priority: -100 });
    t.deepEqual(
      await chainAt(world, "pod2", ingress),
      ["bbb", "ccc", "aaa"],
      "constraints go before priority",
    );
    t.is(await tosSeen(world), dscp(2, 3, 1));

    await world.client.plugins.disablePlugin({ name: "ccc" });
    t.deepEqual(await chainAt(world, "pod2", ingress), ["aaa", "bbb"]);
    t.is(await tosSeen(world), dscp(1, 2));
    const { chain } = await world.client.plugins.getChain({
      attachment: attachmentOf(world, "pod2"),
      hook: ingress,
    });
    t.deepEqual(chain?.unresolved, ["aaa AFTER ccc", "bbb BEFORE ccc"]);
  });

  test("a configured value takes effect on the next packet, and is checked against its bounds", async (t, world) => {
    await world.registerPlugin({ directory: fixture("stamp") });
    t.is(await tosSeen(world), dscp(1));
    await world.client.plugins.configurePlugin({ name: "stamp", config: { digit: "3" } });
    t.is(await tosSeen(world), dscp(3));
    const refusal = await refusalOf(
      world.client.plugins.configurePlugin({ name: "stamp", config: { digit: "4" } }),
    );
    t.is(refusal.status, "INVALID_ARGUMENT");
    t.regex(refusal.message, /config\.digit: "4" is no u8 from 1 to 3/);
    t.is(await tosSeen(world), dscp(3));
  });

  for (const [verdict, what, received] of [
    ["0", "next", 6],
    ["1", "pass", 6],
    ["2", "drop", 0],
    ["3", "other", 0],
  ] as const) {
    test(`the verdict "${what}" does to packets what it says, and is counted`, async (t, world) => {
      await world.registerPlugin({ directory: fixture("verdict"), config: { verdict } });
      // To the outside both the datapath and the node's stack know the way.
      t.is((await echo(world, "pod1", world.addressing.outsideIpv4, 6)).received, received);
      const counters = await countersAt(world, "verdict", "pod1", egress);
      t.is(counters[what], 6n);
      t.is(counters.packets, 6n);
      t.is((await mapValues(world, "verdict", "seen"))[Number(verdict)], 6);
    });
  }

  test("a plugin redirects: it answers for an address that no machine has", async (t, world) => {
    t.is((await echo(world, "pod1", "192.0.2.1", 2, "-W", "0.2")).received, 0);
    await world.registerPlugin({ directory: fixture("answer") });
    t.is((await echo(world, "pod1", "192.0.2.1", 5)).received, 5);
    t.is((await countersAt(world, "answer", "pod1", egress)).redirect, 5n);
    t.is((await echo(world, "pod1", world.pod("pod2").ipv4, 3)).received, 3, "other packets go on");
  });

  test("an upgrade that changes a map's layout is refused until the map may be replaced", async (t, world) => {
    const directory = await variant(world, fixture("verdict"), "verdict-layout", {});
    await world.registerPlugin({ directory });
    await echo(world, "pod1", world.pod("pod2").ipv4, 4);
    await variant(world, fixture("verdict"), "verdict-layout", {
      "plugin.yaml": (yaml) => yaml.replace("version: 1.0.0", "version: 2.0.0"),
      "hooks/lxc.c": (c) => c.replace("max_entries, 4", "max_entries, 8"),
    });

    const upgrade = { directory, enable: false, config: {}, replaceMaps: false };
    const refusal = await refusalOf(world.client.plugins.registerPlugin(upgrade));
    t.is(refusal.status, "FAILED_PRECONDITION");
    t.regex(refusal.message, /seen: max entries 8, found 4/);
    t.regex(refusal.message, /replace_maps/);
    const { plugin } = await world.client.plugins.getPlugin({ name: "verdict" });
    t.is(plugin?.version, "1.0.0");
    await echo(world, "pod1", world.pod("pod2").ipv4, 1);
    // Request and answer: pod2 sends, too.
    t.deepEqual(await mapValues(world, "verdict", "seen"), [10, 0, 0, 0], "the old one goes on counting");

    const upgraded = await world.client.plugins.registerPlugin({ ...upgrade, replaceMaps: true });
    t.is(upgraded.plugin?.version, "2.0.0");
    t.true(upgraded.plugin?.enabled, "an upgrade leaves it enabled");
    await echo(world, "pod1", world.pod("pod2").ipv4, 1);
    t.deepEqual(await mapValues(world, "verdict", "seen"), [2, 0, 0, 0, 0, 0, 0, 0]);
  });

  test("Always: a plugin that one attachment refuses is linked nowhere", async (t, world) => {
    await world.registerPlugin({ directory: shipped("packet-counter") });
    const before = await allChains(world);
    const refusal = await refusalOf(
      world.registerPlugin({ directory: fixture("fussy"), config: { refused_at: "2" } }),
    );
    t.is(refusal.status, "FAILED_PRECONDITION");
    t.regex(refusal.message, /plugin fussy: the kernel's verifier refused to_container_pre_ct_v4 \(lxc\)/);
    t.regex(refusal.message, /invalid access to packet/);
    t.regex(refusal.message, /hooks\/lxc\.c:15|data\[0\]/);
    t.deepEqual(await allChains(world), before);
    t.is((await echo(world, "pod1", world.pod("pod2").ipv4)).received, 3);
  });

  test("BestEffort: the others are linked without it, and the chain says why", async (t, world) => {
    const directory = await variant(world, fixture("fussy"), "fussy-best-effort", {
      "plugin.yaml": (yaml) => yaml.replace("attachmentPolicy: Always", "attachmentPolicy: BestEffort"),
    });
    await world.registerPlugin({ directory: shipped("packet-counter") });
    const { attachmentPolicy } = await world.registerPlugin({ directory, config: { refused_at: "2" } });
    t.is(attachmentPolicy, AttachmentPolicy.BEST_EFFORT);
    const outside = (await allChains(world)).find(({ hook }) => hook === "from_netdev_v4");
    t.deepEqual(
      outside?.links.map(({ plugin }) => plugin),
      ["packet-counter", "fussy"],
    );
    t.deepEqual(await chainAt(world, "pod2", ingress), ["packet-counter"]);
    const { chain } = await world.client.plugins.getChain({
      attachment: attachmentOf(world, "pod2"),
      hook: ingress,
    });
    t.is(chain?.attachment, "lxc", "it is the chain of all pods");
    t.deepEqual(
      chain!.skipped.map(({ plugin }) => plugin),
      ["fussy"],
    );
    t.regex(chain!.skipped[0]!.reason, /invalid access to packet/);
    t.is((await echo(world, "pod1", world.pod("pod2").ipv4, 4)).received, 4);
    t.is((await countersAt(world, "packet-counter", "pod2", ingress)).packets, 4n);

    await world.client.plugins.configurePlugin({ name: "fussy", config: { refused_at: "65535" } });
    t.deepEqual(await chainAt(world, "pod2", ingress), ["packet-counter", "fussy"], "it is tried again");
  });

  test("cidr-drop stops the prefixes that are written into its map", async (t, world) => {
    const [pod2, pod3] = [world.pod("pod2").ipv4, world.pod("pod3").ipv4];
    const { plugins } = world.client;
    await world.registerPlugin({ directory: shipped("cidr-drop") });
    const prefix = (cidr: string) => ({ key: { $case: "cidr" as const, value: cidr } });
    const in_ = { plugin: "cidr-drop", map: "blocked_v4" };
    await plugins.updatePluginMapEntries({
      ...in_,
      entries: [{ key: prefix(`${pod2}/32`), value: Buffer.alloc(8) }],
    });
    t.is((await echo(world, "pod1", pod2, 4, "-W", "0.2")).received, 0);
    t.is((await echo(world, "pod1", pod3, 3)).received, 3);
    t.is((await countersAt(world, "cidr-drop", "pod1", "from_container_pre_ct_v4")).drop, 4n);
    t.deepEqual(await mapValues(world, "cidr-drop", "blocked_v4"), [4], "it counts what each prefix stopped");

    await plugins.configurePlugin({ name: "cidr-drop", config: { dry_run: "true" } });
    t.is((await echo(world, "pod1", pod2, 2)).received, 2, "a dry run lets everything pass");
    await plugins.configurePlugin({ name: "cidr-drop", config: { dry_run: "false" } });
    t.is((await echo(world, "pod1", pod2, 2, "-W", "0.2")).received, 0);

    const { count } = await plugins.deletePluginMapEntries({ ...in_, keys: [prefix(`${pod2}/32`)] });
    t.is(count, 1);
    t.is((await echo(world, "pod1", pod2, 3)).received, 3);
  });

  test("flow-sampler reports new flows to its ring buffer, and no others", async (t, world) => {
    await world.registerPlugin({ directory: shipped("flow-sampler"), config: { sample_rate: "1" } });
    const datapath = createKernelDatapath({ cacheDir: join(world.scratch.directory, "unused") });
    const records: Buffer[] = [];
    const ring = datapath.bpf.openPinnedMap(
      join(world.scratch.bpfRoot, "plugins", "flow-sampler", "flow_samples"),
    )!;
    const reader = datapath.bpf.readRingbuf(ring, (record) => void records.push(Buffer.from(record)));
    try {
      const [pod1, pod2] = [world.pod("pod1"), world.pod("pod2")];
      for (let flow = 0; flow < 3; flow++) await echo(world, "pod1", pod2.ipv4, 4);
      // Each flow is new twice: where pod1 sends, and where pod2 receives.
      await eventually("six samples", () => records.length >= 6);
      t.is(records.length, 6);
      for (const record of records) {
        t.is(record.length, 40);
        t.is(record.readUInt32LE(8), pod1.endpoint.identity);
        t.is(record.readUInt32LE(12), pod2.endpoint.identity);
        t.is([...record.subarray(16, 20)].join("."), pod1.ipv4);
        t.is([...record.subarray(20, 24)].join("."), pod2.ipv4);
        t.is(record[30], 1, "ICMP");
        t.is(record.readUInt32LE(36), 1);
      }
      t.deepEqual(records.map((record) => record.readUInt16LE(28)).sort(), [
        pod1.id,
        pod1.id,
        pod1.id,
        pod2.id,
        pod2.id,
        pod2.id,
      ]);
    } finally {
      reader.close();
      ring.close();
      datapath.close();
    }
  });

  test("a hundred changes of chains under load lose no packet and break no connection", async (t, world) => {
    const target = world.pod("pod2").ipv4;
    await world.registerPlugin({ directory: shipped("packet-counter") });
    await registerStamp(world, "aaa", 1);
    const { plugins } = world.client;

    const dropsBefore = await droppedPackets(world);
    const traffic = await steadyTraffic(world, "pod1", "pod2", { port, pings: 5 });
    const moved = transfer(world, "pod1", { ipv4: target, port }, 256 * 1024 * 1024);

    for (let change = 0; change < 25; change++) {
      await plugins.disablePlugin({ name: "packet-counter" });
      await plugins.configurePlugin({
        name: "aaa",
        priority: change,
        config: { digit: `${(change % 3) + 1}` },
      });
      await plugins.enablePlugin({ name: "packet-counter" });
      await plugins.configurePlugin({ name: "packet-counter", priority: 24 - change, config: {} });
    }
    const { sent, lost, messages, received } = await traffic.end();
    t.log({ sent, lost, messages, received });
    t.is(lost, 0);
    t.true(sent > 100, `only ${sent} echo requests were sent`);
    t.is(received, messages);
    t.is((await moved).bytes, 256 * 1024 * 1024);
    const { total } = await plugins.getPluginStats({ name: "packet-counter", attachment: "" });
    t.is(total?.missed, 0n);
    t.is(await droppedPackets(world), dropsBefore, "TCP had nothing to repair");
  });
});
