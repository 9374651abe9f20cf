import test from "ava";
import { Endpoint } from "../gen/waggle/v1/endpoint.ts";
import { caseName, filtered } from "./cases.ts";
import { makePlan } from "./plan.ts";
import type { NodeParty, Party, PodParty, Topology } from "./topology.ts";

const node = (number: number, ipv6 = true): NodeParty => ({
  label: `node${number}`,
  netns: `/nowhere/node${number}`,
  ipv4: `192.0.2.${number}`,
  ipv6: ipv6 ? `2001:db8::${number}` : "",
  client: undefined as never,
  masquerades: true,
});

const pod = (number: number, of: NodeParty): PodParty => ({
  label: `default/pod${number}`,
  netns: `/nowhere/pod${number}`,
  ipv4: `10.0.0.${number}`,
  ipv6: of.ipv6 === "" ? "" : `fd00::${number}`,
  node: of,
  endpoint: Endpoint.fromPartial({ id: number }),
});

const topology = (nodes: readonly NodeParty[], pods: readonly PodParty[], outside?: Party): Topology => ({
  nodes,
  pods,
  outside,
  close: () => undefined,
});

test("every path between two nodes with two pods each is tested in both families, or skipped with a reason", async (t) => {
  const nodes = [node(1), node(2)];
  const pods = nodes.flatMap((of, index) => [pod(2 * index + 1, of), pod(2 * index + 2, of)]);
  const { cases, skipped } = await makePlan(topology(nodes, pods));
  const paths = new Set(cases.map(({ path, family }) => `${path}/${family}`));
  for (const path of [
    "pod-to-pod-same-node",
    "pod-to-pod-other-node",
    "node-to-remote-pod",
    "pod-to-service-hairpin",
  ])
    for (const family of ["ipv4", "ipv6"]) t.true(paths.has(`${path}/${family}`), `${path}/${family}`);
  t.true(skipped.every(({ path, reason }) => /outside/.test(path) && /no host outside/.test(reason)));
  t.is(new Set(cases.map(caseName)).size, cases.length, "no case is there twice");
});

test("what one node without IPv6 cannot show is skipped, and says why", async (t) => {
  const only = node(1, false);
  const { cases, skipped } = await makePlan(topology([only], [pod(1, only)]));
  t.true(cases.every(({ family }) => family === "ipv4"));
  const why = new Map(skipped.map(({ path, family, reason }) => [`${path}/${family}`, reason]));
  t.is(why.get("pod-to-pod-other-node/ipv4"), "there is one node alone");
  t.is(why.get("pod-to-pod-same-node/ipv4"), "no node has two pods");
  t.is(why.get("pod-to-own-node/ipv6"), "no node has IPv6");
});

test("filters narrow cases and skipped paths alike: all words must fit", async (t) => {
  const only = node(1);
  const plan = await makePlan(topology([only], [pod(1, only), pod(2, only)]));
  const { cases, skipped } = filtered(plan, ["Pod-to-Pod", "ipv6"]);
  t.deepEqual(
    cases.map(caseName),
    ["icmp", "fragments", "mtu", "tcp", "udp"].map(
      (kind) => `pod-to-pod-same-node/ipv6/${kind} default/pod1 → default/pod2`,
    ),
  );
  t.deepEqual(
    skipped.map(({ path }) => path),
    ["pod-to-pod-other-node"],
  );
});
