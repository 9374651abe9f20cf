// Paths through services: ClusterIPs and node ports that the test makes for itself.

import { commonFamilies, type Kind, type PathCase, type PathName } from "./cases.ts";
import { checkRefused } from "./checks.ts";
import type { Exchanges } from "./exchanges.ts";
import type { Family, NodeParty, Party, PodParty, Topology } from "./topology.ts";

/** Traffic that goes through services: it needs ports. */
const kinds = ["fragments", "tcp", "udp"] as const satisfies readonly Kind[];

/** Sends one kind of traffic to an address of the service whose only backend is `backend`. */
async function through(
  exchanges: Exchanges,
  kind: (typeof kinds)[number],
  from: Party,
  backend: Party,
  family: Family,
  at: (service: { readonly ip: string; readonly port: number; readonly nodePort: number }) => {
    readonly address: string;
    readonly port: number;
  },
  signal: AbortSignal,
): Promise<string> {
  const protocol = kind === "tcp" ? "tcp" : "udp";
  const service = await exchanges.service(backend, family, protocol, signal);
  const target = { ...at(service), server: backend.label };
  return kind === "fragments"
    ? exchanges.udpFragments(from, target)
    : exchanges.transport(protocol, from, target);
}

/** Cases of a pod that asks a ClusterIP. */
const clusterIp = (path: PathName, from: Party, backend: Party): readonly PathCase[] =>
  commonFamilies(from, backend).flatMap((family) =>
    kinds.map((kind) => ({
      ...{ path, family, kind },
      from: from.label,
      to: backend === from ? "service → itself" : `service → ${backend.label}`,
      addresses: [from[family], backend[family]],
      run: (exchanges, signal) =>
        through(exchanges, kind, from, backend, family, ({ ip, port }) => ({ address: ip, port }), signal),
    })),
  );

/** Cases of somebody who asks a node's port. */
const nodePort = (path: PathName, from: Party, node: NodeParty, backend: Party): readonly PathCase[] =>
  commonFamilies(from, node, backend).flatMap((family) =>
    kinds.map((kind) => ({
      ...{ path, family, kind },
      from: from.label,
      to: `${node.label}'s port → ${backend.label}`,
      addresses: [from[family], node[family], backend[family]],
      run: (exchanges, signal) =>
        through(
          exchanges,
          kind,
          from,
          backend,
          family,
          ({ nodePort: port }) => ({ address: node[family], port }),
          signal,
        ),
    })),
  );

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
      cases.push(...nodePort("nodeport-from-pod", one, node, two ?? one));
      if (next !== undefined) cases.push(...nodePort("nodeport-from-pod", one, next, remote ?? one));
    }
    if (outside !== undefined) {
      if (one !== undefined) cases.push(...nodePort("nodeport-from-outside-local", outside, node, one));
      if (remote !== undefined)
        cases.push(...nodePort("nodeport-from-outside-remote", outside, node, remote));
      cases.push(...nodePort("nodeport-from-outside-host", outside, node, node));
      if (next !== undefined) cases.push(...nodePort("nodeport-from-outside-host", outside, node, next));
    }
    return cases;
  });
}
