// Paths between pods, nodes and the outside, without services.

import { attempt } from "../playground/command.ts";
import { commonFamilies, type Kind, kinds, type PathCase, type PathName } from "./cases.ts";
import { checkIsolated } from "./checks.ts";
import { inNetns } from "./peers.ts";
import { openToWorld } from "./policy.ts";
import type { Family, NodeParty, Party, PodParty, Topology } from "./topology.ts";

/** All kinds of traffic between two parties, in the families that both speak. */
function direct(
  path: PathName,
  from: Party,
  to: Party,
  options: {
    readonly sources?: (family: Family) => readonly string[];
    readonly kinds?: readonly Kind[];
  } = {},
): readonly PathCase[] {
  const { sources = () => [], kinds: wanted = kinds } = options;
  return commonFamilies(from, to).flatMap((family) =>
    wanted.map((kind) => ({
      path,
      family,
      kind,
      from: from.label,
      to: to.label,
      addresses: [from[family], to[family]],
      run: (exchanges, signal) =>
        exchanges.between(kind, from, to, family, { sources: sources(family), signal }),
    })),
  );
}

/** Ordered pairs of nodes with a pod on each. Pods take turns, so that many of them get to do something. */
function* acrossNodes(
  { nodes }: Topology,
  podsOn: (node: NodeParty) => readonly PodParty[],
): Generator<{ readonly from: PodParty; readonly to: PodParty }> {
  for (const [i, one] of nodes.entries()) {
    for (const [j, other] of nodes.entries()) {
      const [from, to] = [podsOn(one), podsOn(other)];
      if (i === j || from.length === 0 || to.length === 0) continue;
      yield { from: from[j % from.length]!, to: to[i % to.length]! };
    }
  }
}

/** Whether a party has a way to an address. */
async function hasRoute({ netns }: Party, address: string): Promise<boolean> {
  return (await attempt(inNetns(netns, ["ip", "route", "get", address]))).code === 0;
}

/** From the outside to a pod, and from a pod to the outside. */
async function outsideCases(pod: PodParty, outside: Party): Promise<readonly PathCase[]> {
  const cases: PathCase[] = [];
  for (const family of commonFamilies(pod, outside)) {
    const known = await hasRoute(outside, pod[family]);
    const { node } = pod;
    const masqueraded = node.masquerades && node[family] !== "";
    const only = { ...pod, ipv4: "", ipv6: "", [family]: pod[family] };
    // Answers to a source that the outside has no way to would be lost, as everybody knows who has set it up so.
    if (masqueraded || known) {
      const source = masqueraded ? node[family] : pod[family];
      cases.push(...direct("pod-to-outside", only, outside, { sources: () => [source] }));
    }
    if (!known) continue;
    const open = openToWorld(pod.endpoint);
    if (open === "partly") continue;
    if (open === "open") {
      cases.push(...direct("outside-to-pod", outside, only, { sources: () => [outside[family]] }));
    } else {
      cases.push({
        path: "outside-to-pod",
        family,
        kind: "icmp",
        from: outside.label,
        to: pod.label,
        addresses: [outside[family], pod[family]],
        run: (_, signal) => checkIsolated(outside.netns, pod[family], signal),
      });
    }
  }
  return cases;
}

/** All of them that the topology has. */
export async function directCases(topology: Topology): Promise<readonly PathCase[]> {
  const { nodes, pods, outside } = topology;
  const podsOn = (node: NodeParty): readonly PodParty[] => pods.filter((pod) => pod.node === node);
  const own = (party: Party) => (family: Family) => [party[family]];
  const cases: PathCase[] = [];
  for (const node of nodes) {
    const [one, two] = podsOn(node);
    if (outside !== undefined)
      cases.push(...direct("outside-to-node", outside, node, { kinds: ["icmp", "tcp", "udp"] }));
    if (one === undefined) continue;
    if (two !== undefined) cases.push(...direct("pod-to-pod-same-node", one, two, { sources: own(one) }));
    cases.push(...direct("node-to-local-pod", node, one));
    cases.push(...direct("pod-to-own-node", one, node, { sources: own(one) }));
    if (outside !== undefined) cases.push(...(await outsideCases(one, outside)));
  }
  for (const { from, to } of acrossNodes(topology, podsOn)) {
    cases.push(...direct("pod-to-pod-other-node", from, to, { sources: own(from) }));
    cases.push(...direct("node-to-remote-pod", from.node, to));
    cases.push(...direct("pod-to-remote-node", from, to.node, { sources: own(from) }));
  }
  return cases;
}
