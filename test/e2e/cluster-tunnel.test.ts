// Three nodes that put their pods' packets into VXLAN: every path, which stages packets met, and what becomes of the
// services that the connectivity test makes when it is interrupted.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { DropReason } from "../../src/datapath/drop-reasons.ts";
import { describeCluster, worldEnvironment } from "../../src/playground/environment.ts";
import { type World, waggleArgv } from "../../src/playground/index.ts";
import { counted } from "../support/events.ts";
import { eventually } from "../support/eventually.ts";
import { connectivityTest, failures } from "../support/matrix.ts";
import { meets } from "../support/stages.ts";
import { echo } from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";
import { fixture, mapValues } from "./fixtures/plugins/index.ts";

const serviceCount = async (world: World): Promise<number> =>
  (await world.client.services.listServices({ pageSize: 0, pageToken: "" })).services.length;

/** Of a family, as hook points are named. */
const v = (family: "ipv4" | "ipv6"): string => family.replace("ip", "");

await worldTests("routing through tunnels", { nodes: 3, pods: 4 }, (test) => {
  test("every path works in both families", async (t, world) => {
    const matrix = await connectivityTest(world);
    t.deepEqual(failures(matrix), []);
    t.deepEqual([...new Set(matrix.skipped.map(({ path }) => path))], ["outside-to-pod"]);
    t.is(matrix.code, 0);
    t.is(await serviceCount(world), 0, "its services are gone");
  });

  for (const family of ["ipv4", "ipv6"] as const) {
    test(`each path leads through the stages it should: ${family}`, async (t, world) => {
      const [one, two] = world.nodes;
      const outside = family === "ipv4" ? world.addressing.outsideIpv4 : world.addressing.outsideIpv6;
      const { [family]: near } = world.pod("pod4");
      const { [family]: far } = world.pod("pod2");
      const delivered = ["from-overlay", "to-endpoint"];
      await meets(t, world, "pod1", near, { node1: ["from-endpoint", "to-endpoint"] });
      await meets(t, world, "pod1", far, {
        node1: ["from-endpoint", "to-overlay", "to-overlay"],
        node2: delivered,
      });
      await meets(t, world, "node1", near, {
        node1: ["from-host", "from-stack", "to-endpoint"],
      });
      await meets(t, world, "node1", far, {
        node1: ["from-host", "to-overlay"],
        node2: delivered,
      });
      await meets(t, world, "pod1", one!.addresses[family], {
        node1: ["from-endpoint", "to-host", "to-host"],
      });
      await meets(t, world, "pod1", two!.addresses[family], {
        node1: ["from-endpoint", "to-overlay", "to-overlay"],
        node2: ["from-overlay", "to-host"],
      });
      await meets(t, world, "pod1", outside, {
        node1: ["from-endpoint", "to-stack", "to-network"],
      });
    });
  }

  test("the tunnel says who sends: the other node knows the pod by its identity", async (t, world) => {
    const { endpoint } = world.pod("pod1");
    const { nodes } = await world.node("node2").client.nodes.listNodes({ pageSize: 0, pageToken: "" });
    t.deepEqual(
      nodes.map(({ name, local }) => [name, local]),
      [
        ["node1", false],
        ["node2", true],
        ["node3", false],
      ],
    );
    const { entry } = await world.node("node2").client.ipcache.lookupIpCacheEntry({ address: endpoint.ipv4 });
    t.like(entry, { identity: endpoint.identity, tunnelEndpoint: world.nodes[0]!.addresses.ipv4 });
  });

  for (const family of ["ipv4", "ipv6"] as const) {
    test(`a plugin on the tunnel sees what leaves and what arrives, with its sender, and may drop it: ${family}`, async (t, world) => {
      const node = world.node("node1");
      const [pod1, pod2] = [world.pod("pod1"), world.pod("pod2")];
      const name = "tunnel";
      const hooks = { arrives: `from_overlay_${v(family)}`, leaves: `to_overlay_${v(family)}` };
      const counters = async (hook: string) => {
        const { counters } = await node.client.plugins.getPluginStats({
          name,
          attachment: "overlay-cilium_vxlan",
        });
        const { packets, next, drop, missed } = counters.find((one) => one.hook === hook)!;
        return [packets, next, drop, missed].map(Number);
      };
      const answered = async (): Promise<number> =>
        (await echo(world, "pod1", pod2[family], 4, "-W", "0.4")).received;
      await node.registerPlugin({ directory: fixture("tunnel") });
      try {
        t.is(await answered(), 4);
        t.deepEqual(await counters(hooks.leaves), [4, 4, 0, 0]);
        t.deepEqual(await counters(hooks.arrives), [4, 4, 0, 0]);
        t.deepEqual(
          await mapValues(world, name, "senders"),
          [0, pod2.endpoint.identity, pod1.endpoint.identity],
          "answers come from pod2, requests from pod1",
        );
        for (const [drop, there, back] of [
          ["1", 4, 4],
          ["2", 4, 0],
        ] as const) {
          const before = await counted(node, DropReason.plugin);
          const [left, arrived] = [await counters(hooks.leaves), await counters(hooks.arrives)];
          await node.client.plugins.configurePlugin({ name, config: { drop } });
          t.is(await answered(), 0);
          t.is(await counted(node, DropReason.plugin), before + 4);
          const dropsLeaving = drop === "2" ? 4 : 0;
          t.deepEqual(
            (await counters(hooks.leaves)).map((count, index) => count - left[index]!),
            [there, there - dropsLeaving, dropsLeaving, 0],
          );
          t.deepEqual(
            (await counters(hooks.arrives)).map((count, index) => count - arrived[index]!),
            [back, 0, back, 0],
          );
        }
        await node.client.plugins.disablePlugin({ name });
        t.is(await answered(), 4);
      } finally {
        await node.client.plugins.unregisterPlugin({ name });
      }
    });
  }

  test("where nobody looks, packets of the tunnel take a short way; a plugin sees each from when it is enabled", async (t, world) => {
    const node = world.node("node1");
    const name = "underlay";
    const requests = 5;
    const plugin = await node.registerPlugin({ directory: fixture(name), enable: false });
    t.deepEqual(
      plugin.hooks.map(({ point, rewritesPackets }) => [point, rewritesPackets]),
      [
        ["from_netdev_v4", false],
        ["to_netdev_v4", false],
        ["to_overlay_v4", false],
      ],
    );
    try {
      for (let round = 1; round <= 5; round++) {
        await node.client.plugins.enablePlugin({ name });
        const { received } = await echo(world, "pod1", world.pod("pod2").ipv4, requests);
        const seen = Array.from({ length: 3 }, () => round * requests);
        t.deepEqual([received, await mapValues(world, name, "seen")], [requests, seen]);
        await node.client.plugins.disablePlugin({ name });
        t.is((await echo(world, "pod1", world.pod("pod2").ipv4, requests)).received, requests);
        t.deepEqual(await mapValues(world, name, "seen"), seen);
      }
    } finally {
      await node.client.plugins.unregisterPlugin({ name });
    }
  });

  test("an interrupted connectivity test removes its services, and ends with 130", async (t, world) => {
    await describeCluster(world);
    const [file, ...args] = waggleArgv("connectivity", "test", "--filter", "service");
    const child = spawn(file!, args, {
      stdio: "ignore",
      env: { ...process.env, ...worldEnvironment(world) },
    });
    const closed = once(child, "close");
    await eventually("it has made services", async () => (await serviceCount(world)) > 0, 20_000);
    child.kill("SIGINT");
    t.deepEqual(await closed, [130, null]);
    t.is(await serviceCount(world), 0);
  });
});
