// A world: network namespaces, an agent in each that is a node, and pods they connect. For tests, the demo and
// exploring.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { AgentClient } from "../client/index.ts";
import type { Endpoint } from "../gen/waggle/v1/endpoint.ts";
import type { Plugin } from "../gen/waggle/v1/plugin.ts";
import {
  mostNodes,
  type NodeAddresses,
  nodeAddresses,
  underlayNetwork,
  type WorldAddressing,
} from "./addressing.ts";
import type { AgentProcess } from "./agent-process.ts";
import { type CommandOptions, type CommandResult, run } from "./command.ts";
import { EtcdServer, etcdEndpoint } from "./etcd.ts";
import { countLeftovers, type Leftovers } from "./leftovers.ts";
import { addNamespace, execIn, inNamespace, namespacePath } from "./namespaces.ts";
import { WorldNode } from "./node.ts";
import type { WorldOptions, WorldPlugin } from "./options.ts";
import { Pod, type WorldEndpointOptions, type WorldPod } from "./pods.ts";
import { type Ending, endChild } from "./processes.ts";
import { makeDirectory, removeScratchNow, type Scratch } from "./scratch.ts";
import { markOwner } from "./stale.ts";
import { setPlugged, wire } from "./underlay.ts";
import { Undo } from "./undo.ts";

/** Worlds of this process that still stand, for its exit. */
const standing = new Set<World>();
let exitHandled = false;

/**
 * Builds a world; what was built is taken down again when something fails.
 * @throws RangeError for options that make no sense; CommandError, AgentError, EtcdError, CallError
 */
export async function createWorld(options: WorldOptions = {}): Promise<World> {
  const world = new World(options);
  try {
    await world.build();
    return world;
  } catch (error) {
    try {
      await world.destroy();
    } catch (teardown) {
      throw new AggregateError([error, teardown], `${String(error)}; and then: ${String(teardown)}`);
    }
    throw error;
  }
}

/** See `createWorld`. What concerns one node (client, agent, socket …) is the first one's. */
export class World {
  /** Unique, "wg1a2b3c": first part of the names of all namespaces. */
  readonly id = `wg${randomBytes(3).toString("hex")}`;
  /** Real names of the namespaces by their names in here: node (or node1 … nodeN), outside, underlay, pod1 … podM. */
  readonly namespaces: Readonly<Record<string, string>>;
  readonly nodes: readonly WorldNode[];
  readonly pods: readonly WorldPod[];
  /** Plugins as registered at the start, on the first node. */
  readonly plugins: Plugin[] = [];

  readonly #options: WorldOptions;
  readonly #undo = new Undo();
  readonly #children = new Set<ChildProcess>();
  #directory: string | undefined;
  #etcd: EtcdServer | undefined;
  #destroyed: Promise<Leftovers> | undefined;

  constructor(options: WorldOptions) {
    const count = options.nodes ?? 1;
    if (!(Number.isInteger(count) && count >= 1 && count <= mostNodes))
      throw new RangeError(`a world has 1 to ${mostNodes} nodes, not ${count}`);
    if (count > 1 && options.datapath === "fake")
      throw new RangeError("a world of several nodes needs the kernel's datapath");
    this.#options = options;
    const places = count === 1 ? ["node"] : Array.from({ length: count }, (_, index) => `node${index + 1}`);
    const pods = Array.from({ length: options.pods ?? 2 }, (_, index) => `pod${index + 1}`);
    const others = ["outside", ...(count === 1 ? [] : ["underlay"])];
    this.namespaces = Object.fromEntries(
      [...places, ...others, ...pods].map((place) => [place, `${this.id}-${place}`]),
    );
    const own = count === 1 && options.podCidr !== undefined ? { podCidr: options.podCidr } : {};
    this.nodes = places.map((name, index) =>
      this.#node(name, { ...nodeAddresses(index + 1, count), ...own }),
    );
    this.pods = pods.map((name, index) => new Pod(name, this.nodes[index % count]!, this.namespaces[name]!));
  }

  #node(name: string, addresses: NodeAddresses): WorldNode {
    const { nodes = 1, agentArguments = [], agentEnv = {}, routingMode } = this.#options;
    return new WorldNode({
      name,
      namespace: this.real ? this.#namespace(name) : undefined,
      addresses,
      agentArguments: [
        ...(this.ipv6 ? ["--pod-cidr-v6", addresses.podCidrV6] : []),
        ...(routingMode === undefined ? [] : ["--routing-mode", routingMode]),
        ...(nodes === 1 ? [] : ["--kvstore", "etcd", "--etcd-endpoints", etcdEndpoint]),
        ...(typeof agentArguments === "function" ? agentArguments(name) : agentArguments),
      ],
      agentEnv,
      startTimeoutMs: this.#options.startTimeoutMs ?? 60_000,
    });
  }

  /** The pod of this name ("pod1"). @throws RangeError */
  pod(name: string): WorldPod {
    const pod = this.pods.find((one) => one.name === name);
    if (pod === undefined) throw new RangeError(`this world has no pod ${JSON.stringify(name)}`);
    return pod;
  }

  /** The node of this name ("node2"). @throws RangeError */
  node(name: string): WorldNode {
    const node = this.nodes.find((one) => one.name === name);
    if (node === undefined) throw new RangeError(`this world has no node ${JSON.stringify(name)}`);
    return node;
  }

  get #first(): WorldNode {
    return this.nodes[0]!;
  }

  /** Addresses of the first node, and of the outside. */
  get addressing(): WorldAddressing {
    const { ipv4, ipv6, podCidr, podCidrV6 } = this.#first.addresses;
    const { outsideIpv4, outsideIpv6 } = underlayNetwork;
    return { nodeIpv4: ipv4, nodeIpv6: ipv6, podCidr, podCidrV6, outsideIpv4, outsideIpv6 };
  }

  /** Directory of everything that the world keeps in files. @throws Error before the world is built */
  get directory(): string {
    if (this.#directory === undefined) throw new Error("the world is not built");
    return this.#directory;
  }

  /** Files of the first node. */
  get scratch(): Scratch {
    return this.#first.scratch;
  }

  get socket(): string {
    return this.#first.socket;
  }

  /** The running agent. @throws Error when none runs */
  get agent(): AgentProcess {
    return this.#first.agent;
  }

  /** Speaks to the agent; finds it again after a restart. */
  get client(): AgentClient {
    return this.#first.client;
  }

  /** What nodes share their state through. @throws Error in a world of one node, which needs none */
  get etcd(): EtcdServer {
    if (this.#etcd === undefined) throw new Error("this world has no etcd");
    return this.#etcd;
  }

  /** For `createWorld`. */
  async build(): Promise<void> {
    const { plugins = [], agent, endpoints, signal } = this.#options;
    this.#standUp();
    await this.#prepare();
    this.#undo.add("children", () => this.#stopChildren());
    if (agent === false) return;
    await this.#startNodes();
    for (const plugin of plugins) {
      this.#progress(`plugin ${plugin.directory}`);
      this.plugins.push(await this.registerPlugin(plugin));
    }
    if (endpoints === false) return;
    for (const pod of this.pods) {
      this.#progress(pod.name);
      await this.createEndpoint(pod.name);
    }
    signal?.throwIfAborted();
  }

  #progress(what: string): void {
    this.#options.signal?.throwIfAborted();
    this.#options.onProgress?.(what, this);
  }

  /** Files, namespaces and wires. */
  async #prepare(): Promise<void> {
    const directory = await makeDirectory(this.id, this.#undo);
    this.#directory = directory;
    markOwner(directory);
    const alone = this.nodes.length === 1;
    const cacheDir = this.#options.cacheDir ?? process.env.WAGGLE_CACHE_DIR ?? join(directory, "cache");
    for (const node of this.nodes)
      await node.prepare(alone ? directory : join(directory, node.name), cacheDir, this.#undo);
    if (!this.real) return;
    this.#progress("network namespaces");
    for (const namespace of Object.values(this.namespaces))
      await addNamespace(namespace, this.ipv6, this.#undo);
    await wire({
      nodes: this.nodes.map(({ name, namespace, addresses }) => ({ ...addresses, name, namespace })),
      outside: this.#namespace("outside"),
      underlay: alone ? undefined : this.#namespace("underlay"),
      ipv6: this.ipv6,
      podRoutes: this.#options.podRoutes ?? alone,
    });
    if (alone) return;
    this.#etcd = new EtcdServer({ namespace: this.#namespace("underlay"), directory });
    await this.#etcd.prepare(this.#undo);
  }

  async #startNodes(): Promise<void> {
    if (this.#etcd !== undefined) {
      this.#progress("etcd");
      await this.#etcd.start();
    }
    this.#progress(this.nodes.length === 1 ? "the agent" : "agents");
    const [first, ...others] = this.nodes;
    const { signal } = this.#options;
    // The first one compiles what the others then find in the cache.
    await first!.startAgent([], signal);
    const starts = await Promise.allSettled(others.map((node) => node.startAgent([], signal)));
    // Not before all have ended their start one way or the other: those that run are then taken down.
    for (const start of starts) if (start.status === "rejected") throw start.reason;
  }

  /** Whether packets can be sent: a world with a fake datapath has no namespaces. */
  get real(): boolean {
    return this.#options.datapath !== "fake";
  }

  /** Whether the world has IPv6 beside IPv4. */
  get ipv6(): boolean {
    return this.#options.ipv6 ?? true;
  }

  #namespace(name: string): string {
    if (!this.real) throw new Error("a world with a fake datapath has no namespaces");
    const namespace = this.namespaces[name];
    if (namespace === undefined) {
      throw new RangeError(
        `no namespace ${JSON.stringify(name)}; there are ${Object.keys(this.namespaces).join(", ")}`,
      );
    }
    return namespace;
  }

  /** Runs a program in a namespace ("node", "outside", "pod1") and returns what it did, whatever its exit code. */
  exec(name: string, argv: readonly string[], options?: CommandOptions): Promise<CommandResult> {
    return execIn(this.#namespace(name), argv, options);
  }

  /** Runs a program in a namespace and returns its standard output. @throws CommandError unless it ends with 0 */
  run(name: string, argv: readonly string[], options?: CommandOptions): Promise<string> {
    return run(inNamespace(this.#namespace(name), argv), options);
  }

  /** Starts a program in a namespace and leaves it running; it ends with the world at the latest. */
  spawn(name: string, argv: readonly string[], stdio: "ignore" | "pipe" | "inherit" = "pipe"): ChildProcess {
    const [file, ...args] = inNamespace(this.#namespace(name), argv);
    const child = spawn(file!, args, { stdio });
    this.#children.add(child);
    child.once("close", () => this.#children.delete(child));
    child.on("error", () => this.#children.delete(child));
    return child;
  }

  /** Pulls the cable of a node out of the underlay, or plugs it in again. Needs several nodes. @throws CommandError */
  async setPlugged(node: string, plugged: boolean): Promise<void> {
    await setPlugged(this.#namespace("underlay"), this.node(node).name, plugged);
  }

  /** Starts the agent and waits until it serves. @throws AgentError */
  startAgent(extraArguments: readonly string[] = []): Promise<AgentProcess> {
    return this.#first.startAgent(extraArguments);
  }

  /** Ends the agent with a signal and waits until it is gone. @throws AgentError when it does not stop */
  killAgent(signal: NodeJS.Signals = "SIGTERM"): Promise<Ending> {
    return this.#first.killAgent(signal);
  }

  /** Ends the agent, by SIGTERM unless told otherwise, and starts it again on the same state. */
  restartAgent(signal: NodeJS.Signals = "SIGTERM", extraArguments: readonly string[] = []): Promise<void> {
    return this.#first.restartAgent(signal, extraArguments);
  }

  /** Registers a plugin on every node, enabled unless told otherwise. Resolves to the first node's. @throws CallError */
  async registerPlugin(plugin: WorldPlugin): Promise<Plugin> {
    let first: Plugin | undefined;
    for (const node of this.nodes) {
      const registered = await node.registerPlugin(plugin);
      first ??= registered;
    }
    return first!;
  }

  /** Creates the endpoint of a pod, on its node. @throws CallError */
  createEndpoint(name: string, options: WorldEndpointOptions = {}): Promise<Endpoint> {
    const pod = this.pod(name) as Pod;
    return pod.node.createEndpoint(pod, options);
  }

  /** Last lines of the agent's log. */
  agentLog(lines = 50): Promise<string> {
    return this.#first.agentLog(lines);
  }

  /** Takes everything down, last first, and says what could not be removed. Safe to call twice. @throws TeardownError */
  destroy(): Promise<Leftovers> {
    this.#destroyed ??= this.#destroy();
    return this.#destroyed;
  }

  async #destroy(): Promise<Leftovers> {
    const programs = (await Promise.all(this.nodes.map((node) => node.programs()))).flat();
    try {
      await this.#undo.run();
    } finally {
      for (const node of this.nodes) node.close();
      standing.delete(this);
    }
    const namespaces = Object.values(this.namespaces);
    return countLeftovers({ namespaces, directory: this.#directory, programs });
  }

  async #stopChildren(): Promise<void> {
    await Promise.all([...this.#children].map((child) => endChild(child, "SIGKILL", 0)));
    const stops = this.nodes.filter(({ running }) => running).map((node) => node.killAgent());
    const results = await Promise.allSettled(stops);
    await this.#etcd?.kill();
    const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
    if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join("; "));
  }

  /** A process that exits without `destroy` still takes its worlds along. */
  #standUp(): void {
    standing.add(this);
    if (exitHandled) return;
    exitHandled = true;
    process.on("exit", () => {
      for (const world of standing) world.#tearDownNow();
    });
  }

  #tearDownNow(): void {
    for (const node of this.nodes) node.killNow();
    this.#etcd?.killNow();
    for (const child of this.#children) child.kill("SIGKILL");
    for (const namespace of Object.values(this.namespaces)) {
      if (existsSync(namespacePath(namespace)))
        execFileSync("ip", ["netns", "delete", namespace], { stdio: "ignore" });
    }
    if (this.#directory !== undefined) removeScratchNow(this.#directory);
  }
}
