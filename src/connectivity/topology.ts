// Who can be tested: nodes, their pods and the outside host, as the agents and the cluster's description say.

import { type AgentClient, connect, everything } from "../client/index.ts";
import { type Endpoint, EndpointState } from "../gen/waggle/v1/endpoint.ts";
import type { Cluster, Place } from "../playground/cluster-file.ts";

/** An IP version. */
export type Family = "ipv4" | "ipv6";
export const families: readonly Family[] = ["ipv4", "ipv6"];

/** An end of a path. */
export interface Party extends Place {
  /** For people: "default/pod1", "node2", "outside". */
  readonly label: string;
}

/** A node with its agent. */
export interface NodeParty extends Party {
  readonly client: AgentClient;
  /** Whether pods' packets to the world get the node's address. */
  readonly masquerades: boolean;
}

/** A pod that is ready for traffic. */
export interface PodParty extends Party {
  readonly node: NodeParty;
  readonly endpoint: Endpoint;
}

/** See above. */
export interface Topology {
  readonly nodes: readonly NodeParty[];
  readonly pods: readonly PodParty[];
  readonly outside: Party | undefined;
  close(): void;
}

/**
 * What agents on this machine say of themselves, where nobody has described the cluster. A node's network namespace is
 * that of its agent's process.
 * @throws CallError
 */
export async function clusterOfAgents(sockets: readonly string[]): Promise<Cluster> {
  const nodes = await Promise.all(
    sockets.map(async (socket) => {
      const client = connect({ kind: "socket", path: socket });
      try {
        const { pid } = await client.agent.getStatus({});
        const { node } = await client.nodes.getNode({ name: "" });
        const { name = "", ipv4 = "", ipv6 = "" } = node ?? {};
        return { name, socket, netns: `/proc/${pid}/ns/net`, ipv4, ipv6 };
      } finally {
        client.close();
      }
    }),
  );
  return { nodes };
}

/** Whether the agent masquerades, as its settings say. */
async function masquerades(client: AgentClient): Promise<boolean> {
  const { entries } = await client.agent.getConfig({});
  return entries.some(({ flag, value }) => flag === "masquerade" && value === "true");
}

/** Pods of a node that are ready, and whose namespace is known. */
async function podsOf(node: NodeParty): Promise<readonly PodParty[]> {
  const endpoints = await everything(
    (page) => node.client.endpoints.listEndpoints({ ...page, labels: {} }),
    (page) => page.endpoints,
  );
  return endpoints.flatMap((endpoint) => {
    const { netns = "", name = "" } = endpoint.spec ?? {};
    if (endpoint.state !== EndpointState.READY || netns === "") return [];
    return [{ label: name, netns, ipv4: endpoint.ipv4, ipv6: endpoint.ipv6, node, endpoint }];
  });
}

/** Asks all agents for their pods. @throws CallError */
export async function discover(cluster: Cluster): Promise<Topology> {
  const clients = cluster.nodes.map(({ socket }) => connect({ kind: "socket", path: socket }));
  const close = (): void => {
    for (const client of clients) client.close();
  };
  try {
    const nodes = await Promise.all(
      cluster.nodes.map(async ({ name, netns, ipv4, ipv6 }, index) => {
        const client = clients[index]!;
        return { label: name, netns, ipv4, ipv6, client, masquerades: await masquerades(client) };
      }),
    );
    const pods = (await Promise.all(nodes.map(podsOf))).flat();
    const outside = cluster.outside === undefined ? undefined : { ...cluster.outside, label: "outside" };
    return { nodes, pods, outside, close };
  } catch (error) {
    close();
    throw error;
  }
}
