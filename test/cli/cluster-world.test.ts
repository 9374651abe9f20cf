// The plumbing of a world of several nodes: no agent runs here.

import anyTest from "ava";
import { createWorld, probeCapabilities, type World } from "../../src/playground/index.ts";
import { eventually } from "../support/eventually.ts";

const may = await probeCapabilities();
const permitted = may.bpf.ok && may.namespaces.ok && process.env.NO_KERNEL_TESTS === undefined;
const test = permitted ? anyTest.serial : anyTest.serial.skip;

const answers = async (world: World, from: string, to: string): Promise<boolean> => {
  const argv = ["ping", "-n", "-c", "2", "-i", "0.02", "-W", "1", to];
  return (await world.exec(from, argv)).code === 0;
};

test("nodes and the outside reach each other over the underlay, in both families", async (t) => {
  const world = await createWorld({ nodes: 3, pods: 4, agent: false });
  t.teardown(() => world.destroy());
  const [one, two, three] = world.nodes;
  const { outsideIpv4, outsideIpv6 } = world.addressing;
  for (const [from, to] of [
    ["node1", two!.addresses.ipv4],
    ["node3", two!.addresses.ipv6],
    ["outside", three!.addresses.ipv4],
    ["outside", one!.addresses.ipv6],
    ["node2", outsideIpv4],
    ["node2", outsideIpv6],
  ] as const) {
    t.true(await answers(world, from, to), `${from} to ${to}`);
  }
  t.deepEqual(
    world.pods.map(({ name, node }) => [name, node.name]),
    [
      ["pod1", "node1"],
      ["pod2", "node2"],
      ["pod3", "node3"],
      ["pod4", "node1"],
    ],
  );

  await world.setPlugged("node2", false);
  t.false(await answers(world, "node1", two!.addresses.ipv4));
  t.true(await answers(world, "node1", three!.addresses.ipv4));
  await world.setPlugged("node2", true);
  await eventually("node2 is back", () => answers(world, "node1", two!.addresses.ipv4));
  t.true(await answers(world, "node1", two!.addresses.ipv6));
  t.like(await world.destroy(), { count: 0, items: [] });
});

test("etcd serves the nodes of a world alone, and can be killed, frozen and wiped", async (t) => {
  const world = await createWorld({ nodes: 2, pods: 0, agent: false });
  t.teardown(() => world.destroy());
  const { etcd } = world;
  await etcd.start();
  await etcd.ctl("put", "key", "value");
  t.is(await etcd.ctl("get", "key", "--print-value-only"), "value\n");
  const ask = ["curl", "--silent", "--fail", "--max-time", "1", "http://172.18.0.250:2379/health"];
  t.is((await world.exec("node2", ask)).code, 0);

  etcd.pause();
  t.false(await etcd.answers());
  etcd.resume();
  t.true(await etcd.answers());
  await etcd.kill();
  t.false(etcd.running);
  await etcd.start();
  t.is(await etcd.ctl("get", "key", "--print-value-only"), "value\n");
  await etcd.wipe();
  t.is(await etcd.ctl("get", "key", "--print-value-only"), "");
  t.like(await world.destroy(), { count: 0, items: [] });
});

test("a world that makes no sense is refused", async (t) => {
  await t.throwsAsync(createWorld({ nodes: 0 }), { instanceOf: RangeError });
  await t.throwsAsync(createWorld({ nodes: 2, datapath: "fake" }), { message: /kernel/ });
});
