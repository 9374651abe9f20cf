// What the nodes of a cluster know of each other.

import { everything } from "../../src/client/index.ts";
import { HealthLevel } from "../../src/gen/waggle/v1/agent.ts";
import type { World, WorldNode, WorldPod } from "../../src/playground/index.ts";
import { eventually } from "./eventually.ts";
import { echo } from "./traffic.ts";

/** Enough for a lease to run out and for what follows from it, on a busy machine. */
export const patienceMs = 30_000;

/** Names of the nodes that a node knows. */
export async function nodesKnownTo(node: WorldNode): Promise<readonly string[]> {
  const { nodes } = await node.client.nodes.listNodes({ pageSize: 0, pageToken: "" });
  return nodes.map(({ name }) => name);
}

/** Waits until each of some nodes knows exactly the nodes of these names. */
export async function untilNodesAre(on: readonly WorldNode[], names: readonly string[]): Promise<void> {
  for (const node of on) {
    await eventually(
      `${node.name} knows ${names.join(", ")}`,
      async () => {
        const known = await nodesKnownTo(node);
        if (known.join() !== names.join()) throw new Error(`it knows ${known.join(", ")}`);
        return true;
      },
      patienceMs,
    );
  }
}

/** Identity that a node takes an address for; undefined when it knows no more than the world. */
export async function identityOf(node: WorldNode, address: string): Promise<number | undefined> {
  const entries = await everything(
    (page) => node.client.ipcache.listIpCacheEntries({ ...page, source: 0 }),
    (page) => page.entries,
  );
  return entries.find(({ prefix }) => prefix.split("/")[0] === address)?.identity;
}

/** Waits until nodes take a pod's addresses for its identity. */
export async function untilKnown(on: readonly WorldNode[], pod: WorldPod): Promise<void> {
  for (const node of on) {
    for (const address of [pod.ipv4, pod.ipv6].filter((one) => one !== "")) {
      await eventually(
        `${node.name} knows ${pod.name}`,
        async () => (await identityOf(node, address)) === pod.endpoint.identity,
        patienceMs,
      );
    }
  }
}

/** Waits until nodes are well, or until they are not. */
export async function untilHealth(on: readonly WorldNode[], wanted: "ok" | "degraded"): Promise<void> {
  const level = wanted === "ok" ? HealthLevel.OK : HealthLevel.DEGRADED;
  for (const node of on) {
    await eventually(
      `health of ${node.name} is ${wanted}`,
      async () => {
        const { health, degraded } = await node.client.agent.getStatus({});
        if (health !== level) throw new Error(degraded.join("; ") || "nothing is degraded");
        return true;
      },
      patienceMs,
    );
  }
}

/** Whether pods reach each other, all to all, in all families they have; names those that do not. */
export async function unreached(world: World, pods = world.pods): Promise<readonly string[]> {
  const pairs = pods.flatMap((from) =>
    pods
      .filter((to) => to !== from)
      .flatMap((to) => [to.ipv4, to.ipv6].filter((one) => one !== "").map((address) => ({ from, address }))),
  );
  const results = await Promise.all(
    pairs.map(async ({ from, address }) => {
      const { received, sent } = await echo(world, from.name, address, 2);
      return received === sent ? [] : [`${from.name} → ${address}`];
    }),
  );
  return results.flat();
}

/** Waits until all pods reach each other. */
export async function untilReached(world: World): Promise<void> {
  await eventually(
    "all pods reach each other",
    async () => {
      const missing = await unreached(world);
      if (missing.length > 0) throw new Error(missing.join(", "));
      return true;
    },
    patienceMs,
  );
}
