import test from "ava";
import { EtcdServer } from "../support/etcd.ts";
import { eventually } from "../support/eventually.ts";
import { ClusterNode } from "./cluster-node.ts";

/** Leases that run out while a test waits for it, but not while a busy machine stops an agent. */
const flags = { "kvstore-lease-ttl": "5s" };

test("nodes and pods of one node are in the IP caches of the others, and go with it", async (t) => {
  const etcd = await EtcdServer.start();
  t.teardown(() => etcd.remove());
  const [one, two] = await Promise.all(
    [1, 2].map((index) => ClusterNode.start(t, index, etcd.endpoint, { flags })),
  );
  await eventually("they know each other", () => one!.nodes.length === 2 && two!.nodes.length === 2);
  t.is(two!.reach("172.18.0.11"), "6 via 172.18.0.11");
  t.is(two!.reach("10.0.1.1"), "6 via 172.18.0.11", "the router");
  t.is(two!.reach("fd00:10:0:1::1"), "6 via 172.18.0.11");
  const pod = await one!.addPod("default/web", { app: "web" });
  await eventually("the pod is known", () => two!.reach(pod.ipv4));
  t.is(two!.reach(pod.ipv4), `${pod.identity} via 172.18.0.11`);
  t.is(two!.reach(pod.ipv6), `${pod.identity} via 172.18.0.11`);
  await one!.stop();
  t.truthy(two!.reach(pod.ipv4), "an agent that ends takes nothing with it");
  await eventually("what is not kept alive goes", () => two!.nodes.length === 1, 60_000);
  await eventually(
    "and so do addresses",
    () => two!.reach(pod.ipv4) === undefined && two!.reach("10.0.1.1") === undefined,
  );
  const again = await ClusterNode.start(t, 1, etcd.endpoint, { flags, again: one! });
  await eventually("it takes its things back", () => two!.nodes.length === 2 && two!.reach(pod.ipv4));
  await eventually("nothing is wrong", () => again.complaints() === "", 60_000);
});

test("of two agents with one name the second is refused, and takes over when the first has gone", async (t) => {
  const etcd = await EtcdServer.start();
  t.teardown(() => etcd.remove());
  const one = await ClusterNode.start(t, 1, etcd.endpoint, { flags });
  await eventually("it is announced", async () => (await etcd.keys("waggle/default/nodes/")).length === 1);
  const double = await ClusterNode.start(t, 2, etcd.endpoint, {
    flags: { ...flags, "node-name": "node1" },
  });
  await eventually("the second says so", () =>
    double.complaints().includes("another agent, at 172.18.0.11, is node node1 already"),
  );
  const pod = await double.addPod("default/web", { app: "web" });
  t.is(one.reach("172.18.0.12"), undefined);
  t.is(one.reach(pod.ipv4), undefined, "nor are its pods announced");
  await eventually("nothing is wrong with the first", () => one.complaints() === "", 60_000);
  await one.stop();
  await eventually("it takes the name", () => double.complaints() === "", 60_000);
  await eventually("with its pods", async () => (await etcd.keys("waggle/default/addresses/")).length === 2);
});

test("a node whose pod addresses overlap another's is refused, with both names", async (t) => {
  const etcd = await EtcdServer.start();
  t.teardown(() => etcd.remove());
  const one = await ClusterNode.start(t, 1, etcd.endpoint);
  await eventually("it is announced", async () => (await etcd.keys("waggle/default/nodes/")).length === 1);
  const two = await ClusterNode.start(t, 2, etcd.endpoint, {
    flags: { "pod-cidr": "10.0.1.128/25", "router-ip": "" },
  });
  await eventually("it says so", () =>
    two.complaints().includes("nodes node2 and node1: pod CIDR 10.0.1.128/25 overlaps 10.0.1.0/24"),
  );
  t.is(two.reach("172.18.0.11"), undefined, "it sends nothing to a node that it may be confused with");
  t.deepEqual(one.nodes, ["node1"]);
  t.is(one.complaints(), "");
});

test("an agent without etcd starts with the nodes and addresses it knew", async (t) => {
  const etcd = await EtcdServer.start();
  t.teardown(() => etcd.remove());
  const one = await ClusterNode.start(t, 1, etcd.endpoint);
  const pod = await one.addPod("default/web", { app: "web" });
  const two = await ClusterNode.start(t, 2, etcd.endpoint);
  await eventually("the pod is known", () => two.reach(pod.ipv4));
  await two.stop();
  await etcd.kill();
  const again = await ClusterNode.start(t, 2, etcd.endpoint, { again: two });
  t.deepEqual(again.nodes, ["node1", "node2"]);
  t.is(again.reach(pod.ipv4), `${pod.identity} via 172.18.0.11`);
  t.regex(again.complaints(), /no etcd since/);
});
