// Two namespaces that can talk, and the ways they can be joined: by a wire, as others do it, or by Waggle.

import { randomBytes } from "node:crypto";
import { ct4Map } from "../src/datapath/maps/index.ts";
import { run } from "../src/playground/command.ts";
import type { World } from "../src/playground/index.ts";
import { addNamespace, inNamespace, setSysctl } from "../src/playground/namespaces.ts";
import { Undo } from "../src/playground/undo.ts";
import { benchWorld } from "./bench-world.ts";
import { settle } from "./namespace-settings.ts";
import { keepNeighbours } from "./neighbours.ts";
import { loadRules, trackedConnections } from "./nft.ts";

/** Two ends of a connection to be measured. */
export interface Pair {
  readonly name: string;
  /** Namespaces by name. */
  readonly client: string;
  readonly server: string;
  /** The server's address. */
  readonly ipv4: string;
  /** For each namespace of the pair by its role: "node". */
  readonly names: Readonly<Record<string, string>>;
  /**
   * For after the load: that packets come through by what the pair is called after.
   * @throws IdlePeerError
   */
  verify(): Promise<void>;
  close(): Promise<void>;
}

/** Load came through a pair, but what it is called after had no part in it: its figures would be another's. */
export class IdlePeerError extends Error {
  constructor(pair: string, what: string) {
    super(`${pair}: ${what}, so what was measured is not what it is called`);
    this.name = "IdlePeerError";
  }
}

/** Addresses of a pair's ends, unless it needs others. */
export const client = "10.90.0.1";
export const server = "10.90.0.2";

/** A name of its own for every pair, so that several can stand at once. */
const unique = (): string => `wgb${randomBytes(3).toString("hex")}`;

export const ip = (namespace: string, ...args: readonly string[]): Promise<string> =>
  run(["ip", "-n", namespace, ...args]);

/** A veth pair: `port` in the first namespace, eth0 at the end. */
async function layCable(from: string, port: string, end: string): Promise<void> {
  const peer = ["type", "veth", "peer", "name", "eth0", "netns", end];
  await run(["ip", "link", "add", port, "netns", from, ...peer]);
}

type Names = Readonly<Record<string, string>>;

export interface PairOptions {
  /** Of the server, where it is not the usual one. */
  readonly ipv4?: string;
  /** See Pair. Without it there is no other way for packets than the one that was built. */
  readonly verify?: (names: Names) => Promise<void>;
}

/** Creates the namespaces and takes everything down again when `build` fails. */
export async function pair(
  name: string,
  extra: readonly string[],
  build: (names: Names) => Promise<void>,
  { ipv4 = server, verify = async () => undefined }: PairOptions = {},
): Promise<Pair> {
  const id = unique();
  const undo = new Undo();
  const names = Object.fromEntries(["client", "server", ...extra].map((role) => [role, `${id}-${role}`]));
  try {
    for (const namespace of Object.values(names)) {
      await addNamespace(namespace, false, undo);
      await settle(namespace);
    }
    await build(names);
    await keepNeighbours(Object.values(names), names.client!, ipv4);
  } catch (error) {
    await undo.run();
    throw error;
  }
  return {
    name,
    client: names.client!,
    server: names.server!,
    ipv4,
    names,
    verify: () => verify(names),
    close: () => undo.run(),
  };
}

/** The limit: nothing but the wire between the two. */
export const directPair = (): Promise<Pair> =>
  pair("direct veth", [], async ({ client: a, server: b }) => {
    await layCable(a!, "eth0", b!);
    await ip(a!, "address", "add", `${client}/24`, "dev", "eth0");
    await ip(b!, "address", "add", `${server}/24`, "dev", "eth0");
    for (const end of [a!, b!]) await ip(end, "link", "set", "eth0", "up");
  });

/** What a simple CNI does: both on a bridge of the node. */
export const bridgedPair = (): Promise<Pair> =>
  pair("bridge", ["node"], async ({ client: a, server: b, node }) => {
    await ip(node!, "link", "add", "br0", "type", "bridge");
    await ip(node!, "link", "set", "br0", "up");
    for (const [end, address, port] of [
      [a!, client, "p1"],
      [b!, server, "p2"],
    ] as const) {
      await layCable(node!, port, end);
      await ip(node!, "link", "set", port, "master", "br0", "up");
      await ip(end, "address", "add", `${address}/24`, "dev", "eth0");
      await ip(end, "link", "set", "eth0", "up");
    }
  });

const statefulFilter = `
table inet filter {
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    ct state invalid drop
    ip saddr 10.90.0.0/24 ip daddr 10.90.0.0/24 accept
  }
}
`;

/**
 * Both behind a node that routes between them, as routing CNIs do it, with rules of nft(8) on the node.
 * @param verify that the rules have a part in it
 */
export function pairBehindNode(
  name: string,
  rules: string,
  verify: (names: Names) => Promise<void>,
): Promise<Pair> {
  const build = async ({ client: a, server: b, node }: Names): Promise<void> => {
    for (const [end, address, port] of [
      [a!, client, "p1"],
      [b!, server, "p2"],
    ] as const) {
      await layCable(node!, port, end);
      await ip(node!, "link", "set", port, "up");
      await ip(node!, "address", "add", "169.254.1.1/32", "dev", port);
      await ip(node!, "route", "add", `${address}/32`, "dev", port);
      await ip(end, "address", "add", `${address}/32`, "dev", "eth0");
      await ip(end, "link", "set", "eth0", "up");
      await ip(end, "route", "add", "169.254.1.1/32", "dev", "eth0");
      await ip(end, "route", "add", "default", "via", "169.254.1.1", "dev", "eth0");
    }
    await setSysctl(node!, "net/ipv4/ip_forward", "1");
    await loadRules(node!, rules);
  };
  return pair(name, ["node"], build, { verify });
}

/** Sends a datagram to where nobody listens. A flow is remembered for a while, which a connection's end may not be. */
export const sendDatagram = (from: string, to: string): Promise<string> =>
  run(inNamespace(from, ["bash", "-c", `echo > /dev/udp/${to}/9`]));

/** That a node between a pair remembers connections. @throws IdlePeerError */
export async function verifyConntrack(pair: string, { client: from, node }: Names): Promise<void> {
  await sendDatagram(from!, server);
  if ((await trackedConnections(node!)) === 0) throw new IdlePeerError(pair, "it tracks no connection");
}

/** What a routing CNI with policies in nftables does: the node routes, connection tracking and a filter in between. */
export function routedPair(): Promise<Pair> {
  const name = "routed veth, nftables conntrack";
  return pairBehindNode(name, statefulFilter, (names) => verifyConntrack(name, names));
}

/** Two pods of one node with Waggle between them. */
export const wagglePair = async (): Promise<Pair> => pairOfWorld(await benchWorld({ pods: 2 }));

/** The first two pods of a world, which goes with the pair. Their packets are what those of pods that stay are. */
export async function pairOfWorld(world: World, name = "waggle"): Promise<Pair> {
  const [a, b] = world.pods;
  try {
    await Promise.all(world.nodes.map(({ client }) => client.datapath.listAttachments({ settled: true })));
    await keepNeighbours(Object.values(world.namespaces), a!.namespace, b!.ipv4);
  } catch (error) {
    await world.destroy();
    throw error;
  }
  return {
    name,
    client: a!.namespace,
    server: b!.namespace,
    ipv4: b!.ipv4,
    names: world.namespaces,
    verify: () => verifyTracking(world, name),
    close: async () => void (await world.destroy()),
  };
}

/** That every node of a world remembers connections. */
async function verifyTracking({ nodes, pods: [a, b] }: World, name: string): Promise<void> {
  await sendDatagram(a!.namespace, b!.ipv4);
  for (const { name: node, client } of nodes) {
    const page = { map: ct4Map.name, pageSize: 1, pageToken: "" };
    const { entries } = await client.datapath.listMapEntries(page);
    if (entries.length === 0) throw new IdlePeerError(name, `${node} tracks no connection`);
  }
}
