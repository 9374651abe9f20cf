import test from "ava";
import { EtcdServer } from "../support/etcd.ts";
import { eventually } from "../support/eventually.ts";
import { ClusterNode } from "./cluster-node.ts";

test("nodes and pods of one node are in the IP caches of the others, and go with it", async (t) => {
  const etcd = await EtcdServer.start();
  t.teardown(() => etcd.remove());
  const [one, two] = await Promise.all([1, 2].map((index) => ClusterNode.start(t, index, etcd.endpoint)));
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
  await eventually("what is not kept alive goes", () => two!.nodes.length === 1, 15_000);
  await eventually(
    "and so do addresses",
    () => two!.reach(pod.ipv4) === undefined && two!.reach("10.0.1.1") === undefined,
  );
  const again = await ClusterNode.start(t, 1, etcd.endpoint, { again: one! });
  await eventually("it takes its things back", () => two!.nodes.length === 2 && two!.reach(pod.ipv4));
  t.is(again.complaints(), "");
});
