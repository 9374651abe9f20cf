// Three nodes that put their pods' packets into VXLAN: every path, which stages packets met, and what becomes of the
// services that the connectivity test makes when it is interrupted.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { describeCluster, worldEnvironment } from "../../src/playground/environment.ts";
import { type World, waggleArgv } from "../../src/playground/index.ts";
import { eventually } from "../support/eventually.ts";
import { connectivityTest, failures } from "../support/matrix.ts";
import { meets } from "../support/stages.ts";
import { worldTests } from "../support/world-tests.ts";

const serviceCount = async (world: World): Promise<number> =>
  (await world.client.services.listServices({ pageSize: 0, pageToken: "" })).services.length;

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
