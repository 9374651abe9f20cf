// The description of a cluster on one machine: which agents there are, and in which network namespaces. The
// playground writes it, and names it in WAGGLE_CLUSTER.

import { readFileSync } from "node:fs";

/** Somewhere programs can be run: a network namespace, with the addresses it is reached under. */
export interface Place {
  /** Path of the namespace: "/run/netns/web". */
  readonly netns: string;
  readonly ipv4: string;
  /** Empty where there is no IPv6. */
  readonly ipv6: string;
}

/** A node with its agent. */
export interface ClusterNode extends Place {
  readonly name: string;
  /** Unix socket of the agent. */
  readonly socket: string;
}

/** See above. */
export interface Cluster {
  readonly nodes: readonly ClusterNode[];
  /** A host that is no node. */
  readonly outside?: Place;
}

/** A description that cannot be read; says where it is wrong. */
export class ClusterFileError extends Error {
  constructor(file: string, why: string, cause?: unknown) {
    super(`${file} describes no cluster: ${why}`, cause === undefined ? undefined : { cause });
    this.name = "ClusterFileError";
  }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Reads a description. @throws ClusterFileError */
export function readClusterFile(file: string): Cluster {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new ClusterFileError(file, error instanceof Error ? error.message : String(error), error);
  }
  const text = (of: Readonly<Record<string, unknown>>, at: string, name: string): string => {
    const value = of[name];
    if (typeof value !== "string") throw new ClusterFileError(file, `${at}.${name} is no text`);
    return value;
  };
  const place = (value: unknown, at: string): Place => {
    if (!isObject(value)) throw new ClusterFileError(file, `${at} is no object`);
    return { netns: text(value, at, "netns"), ipv4: text(value, at, "ipv4"), ipv6: text(value, at, "ipv6") };
  };
  if (!isObject(content) || !Array.isArray(content.nodes) || content.nodes.length === 0)
    throw new ClusterFileError(file, "it has no nodes");
  const nodes = content.nodes.map((node: unknown, index) => {
    const at = `nodes[${index}]`;
    const there = place(node, at);
    const named = node as Readonly<Record<string, unknown>>;
    return { name: text(named, at, "name"), socket: text(named, at, "socket"), ...there };
  });
  return content.outside === undefined ? { nodes } : { nodes, outside: place(content.outside, "outside") };
}
