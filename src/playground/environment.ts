// What a command in a world is told about it.

import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Cluster } from "./cluster-file.ts";
import { namespacePath } from "./namespaces.ts";
import type { World } from "./world.ts";

/** Where `waggle` is. */
export const binDirectory = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), "bin");

/** Where a world's description is written. */
export const clusterFile = (world: World): string => join(world.directory, "cluster.json");

/** The world as `waggle connectivity test` wants it described; undefined where there are no namespaces. */
function clusterOf(world: World): Cluster | undefined {
  if (!world.real) return undefined;
  const { outsideIpv4, outsideIpv6 } = world.addressing;
  const ipv6 = (address: string): string => (world.ipv6 ? address : "");
  return {
    nodes: world.nodes.map(({ name, namespace, socket, addresses }) => ({
      name,
      socket,
      netns: namespacePath(namespace),
      ipv4: addresses.ipv4,
      ipv6: ipv6(addresses.ipv6),
    })),
    outside: {
      netns: namespacePath(world.namespaces.outside!),
      ipv4: outsideIpv4,
      ipv6: ipv6(outsideIpv6),
    },
  };
}

/** Writes the world's description, where it has one to give. */
export async function describeCluster(world: World): Promise<void> {
  const cluster = clusterOf(world);
  if (cluster !== undefined)
    await writeFile(clusterFile(world), `${JSON.stringify(cluster, undefined, 2)}\n`);
}

/** Variables that tell a command where it is. Names with WAGGLE_ that the agent knows are left out on purpose. */
export function worldEnvironment(world: World): Record<string, string> {
  const { outsideIpv4, outsideIpv6 } = world.addressing;
  const six = (name: string, address: string): readonly (readonly [string, string])[] =>
    world.ipv6 && address !== "" ? [[name, address]] : [];
  return {
    PATH: `${binDirectory}:${process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin"}`,
    WAGGLE_SOCKET: world.socket,
    WAGGLE_OUTSIDE_NETNS: world.namespaces.outside!,
    WAGGLE_OUTSIDE_IPV4: outsideIpv4,
    ...(world.real ? { WAGGLE_CLUSTER: clusterFile(world) } : {}),
    ...Object.fromEntries([
      ...six("WAGGLE_OUTSIDE_IPV6", outsideIpv6),
      ...world.nodes.flatMap(({ name, socket, addresses }) => {
        const prefix = `WAGGLE_${name.toUpperCase()}`;
        return [
          [`${prefix}_NETNS`, world.namespaces[name]!],
          [`${prefix}_SOCKET`, socket],
          [`${prefix}_IPV4`, addresses.ipv4],
          ...six(`${prefix}_IPV6`, addresses.ipv6),
        ];
      }),
      ...world.pods.flatMap(({ name, namespace, ipv4, ipv6, node }) => {
        const prefix = `WAGGLE_${name.toUpperCase()}`;
        return [
          [`${prefix}_NETNS`, namespace],
          [`${prefix}_NODE`, node.name],
          [`${prefix}_IPV4`, ipv4],
          ...six(`${prefix}_IPV6`, ipv6),
        ];
      }),
    ]),
  };
}
