// Paths through services: ClusterIPs and node ports that the test makes for itself.

import { commonFamilies, type Kind, type PathCase, type PathName } from "./cases.ts";
import { checkRefused } from "./checks.ts";
import type { Exchanges } from "./exchanges.ts";
import type { Family, NodeParty, Party, PodParty, Topology } from "./topology.ts";

/** Traffic that goes through services: it needs ports. */
const kinds = ["fragments", "tcp", "udp"] as const satisfies readonly Kind[];

/** A way to the only backend of a service. */
interface Way {
  readonly path: PathName;
  readonly from: Party;
  readonly backend: Party;
  /** Through this node's port; otherwise through the cluster IP. */
  readonly node?: NodeParty;
  /** Whether the backend must see who asks: nothing within the cluster is masqueraded. */
  readonly seen: boolean;
}

async function send(
  way: Way,
  kind: (typeof kinds)[number],
  family: Family,
  exchanges: Exchanges,
  signal: AbortSignal,
): Promise<string> {
  const { from, backend, node, seen } = way;
  const protocol = kind === "tcp" ? "tcp" : "udp";
  const { ip, port, nodePort } = await exchanges.service(backend, family, protocol, signal);
  const target = {
    ...(node === undefined ? { address: ip, port } : { address: node[family], port: nodePort }),
    server: backend.label,
    sources: seen ? [from[family]] : [],
  };
  return kind === "fragments"
    ? exchanges.udpFragments(from, target)
    : exchanges.transport(protocol, from, target);
}

/** All kinds of traffic that way, in the families that everybody on it speaks. */
function along(way: Way): readonly PathCase[] {
  const { path, from, backend, node } = way;
  const parties = node === undefined ? [from, backend] : [from, node, backend];
  const service = node === undefined ? "service" : `${node.label}'s port`;
  return commonFamilies(...parties).flatMap((family) =>
    kinds.map((kind) => ({
      ...{ path, family, kind },
      from: from.label,
      to: `${service} → ${backend === from ? "itself" : backend.label}`,
      addresses: parties.map((party) => party[family]),
      run: (exchanges, signal) => send(way, kind, family, exchanges, signal),
    })),
  );
}

/** A pod that asks a cluster IP. A pod that is its own backend sees somebody else, or its answers would not return. */
const clusterIp = (path: PathName, from: PodParty, backend: Party): readonly PathCase[] =>
  along({ path, from, backend, seen: backend !== from });

/** A pod that asks a node's port. */
const podAsksPort = (from: PodParty, node: NodeParty, backend: Party): readonly PathCase[] =>
  along({ path: "nodeport-from-pod", from, node, backend, seen: backend !== from });

/** The outside that asks a node's port. It may be seen as the node. */
const outsideAsksPort = (path: PathName, from: Party, node: NodeParty, backend: Party): readonly PathCase[] =>
  along({ path, from, node, backend, seen: false });

/** A pod that asks for what nobody serves is told so at once. */
const empty = (from: PodParty): readonly PathCase[] =>
  commonFamilies(from).map((family) => ({
    path: "pod-to-service-empty",
    family,
    kind: "tcp",
    from: from.label,
    to: "service",
    addresses: [from[family]],
    run: async (exchanges, signal) => {
      const { ip, port } = await exchanges.emptyService(family, signal);
      return checkRefused(exchanges.peers.in(from), { address: ip, port });
    },
  }));

/** All of them that the topology has: at each node with its own backends, and with those of the node after it. */
export function serviceCases({ nodes, pods, outside }: Topology): readonly PathCase[] {
  return nodes.flatMap((node, index) => {
    const podsOn = (of: NodeParty): readonly PodParty[] => pods.filter((pod) => pod.node === of);
    const [one, two] = podsOn(node);
    const next = nodes.length === 1 ? undefined : nodes[(index + 1) % nodes.length]!;
    const remote = next === undefined ? undefined : podsOn(next)[0];
    const cases: PathCase[] = [];
    if (one !== undefined) {
      if (two !== undefined) cases.push(...clusterIp("pod-to-service-local", one, two));
      if (remote !== undefined) cases.push(...clusterIp("pod-to-service-remote", one, remote));
      cases.push(...clusterIp("pod-to-service-host", one, node));
      if (next !== undefined) cases.push(...clusterIp("pod-to-service-host", one, next));
      cases.push(...clusterIp("pod-to-service-hairpin", one, one));
      cases.push(...empty(one));
      cases.push(...podAsksPort(one, node, two ?? one));
      if (next !== undefined) cases.push(...podAsksPort(one, next, remote ?? one));
    }
    if (outside !== undefined) {
      if (one !== undefined)
        cases.push(...outsideAsksPort("nodeport-from-outside-local", outside, node, one));
      if (remote !== undefined)
        cases.push(...outsideAsksPort("nodeport-from-outside-remote", outside, node, remote));
      cases.push(...outsideAsksPort("nodeport-from-outside-host", outside, node, node));
      if (next !== undefined)
        cases.push(...outsideAsksPort("nodeport-from-outside-host", outside, node, next));
    }
    return cases;
  });
}
