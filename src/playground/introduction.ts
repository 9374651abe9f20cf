// What `waggle playground` says to somebody who looks around in a world.

import { binDirectory, clusterFile } from "./environment.ts";
import { namespacePath } from "./namespaces.ts";
import type { World } from "./world.ts";

/** How to paint words. */
export interface PlaygroundStyle {
  bold(text: string): string;
  dim(text: string): string;
}

const enter = (namespace: string): string => `nsenter --net=${namespacePath(namespace)}`;

/** Columns, two spaces apart. */
function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const width = (column: number): number => Math.max(...rows.map((row) => row[column]!.length));
  return rows.map((row) =>
    row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(width(column)))).join("  "),
  );
}

/** How to enter each namespace. */
function places(world: World, style: PlaygroundStyle): readonly string[] {
  if (!world.real) return [style.bold("An agent on a fake datapath: the API works, packets do not."), ""];
  const { outsideIpv4, outsideIpv6 } = world.addressing;
  const addresses = (ipv4: string, ipv6: string): string => (world.ipv6 ? `${ipv4} ${ipv6}` : ipv4);
  const rows = [
    ...world.nodes.map(
      (node) => [node.name, addresses(node.addresses.ipv4, node.addresses.ipv6), node.namespace] as const,
    ),
    ["outside", addresses(outsideIpv4, outsideIpv6), world.namespaces.outside!] as const,
    ...world.pods.map((pod) => [pod.name, addresses(pod.ipv4, pod.ipv6), pod.namespace] as const),
  ];
  const several = world.nodes.length > 1;
  const [from, to] = [world.pods[0]?.namespace ?? world.nodes[0]!.namespace, world.pods[1]?.ipv4];
  return [
    style.bold(
      several
        ? `${world.nodes.length} nodes with pods, and a host outside of them. Enter them with:`
        : "A node with pods, and a host outside of it. Enter them with:",
    ),
    ...columns(rows.map(([name, address, namespace]) => [`  ${name}`, address, enter(namespace)])),
    "",
    style.bold("Send something:"),
    `  ${enter(from)} ping -c 3 ${to ?? outsideIpv4}`,
    "",
  ];
}

/** Variables for another terminal. */
function exports(world: World): readonly string[] {
  const variables = [
    `WAGGLE_SOCKET=${world.socket}`,
    ...(world.real ? [`WAGGLE_CLUSTER=${clusterFile(world)}`] : []),
    `PATH=${binDirectory}:$PATH`,
  ];
  return [
    `  export ${variables.join(" ")}`,
    ...world.nodes.slice(1).map(({ name, socket }) => `  # ${name}: waggle --socket ${socket} …`),
  ];
}

/** Where one is, and what to type. */
export const introduction = (world: World, style: PlaygroundStyle): string =>
  [
    ...places(world, style),
    style.bold(world.nodes.length > 1 ? "Speak to the agents:" : "Speak to the agent:"),
    ...exports(world),
    "  waggle status",
    ...(world.nodes.length > 1 ? ["  waggle node list"] : []),
    "  waggle endpoint list",
    ...(world.real ? ["  waggle connectivity test"] : []),
    "  waggle monitor --type drop,trace,verdict",
    "",
    style.dim(
      `${world.nodes.length > 1 ? "Logs are" : "The agent's log is"} ${world.nodes
        .map(({ scratch }) => scratch.log)
        .join(" ")}. ^C takes everything down.`,
    ),
    "",
  ].join("\n");
