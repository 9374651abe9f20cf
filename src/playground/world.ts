// A world: network namespaces, an agent in one of them, and pods it connects. For tests, the demo and exploring.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { type AgentClient, CallError, connect } from "../client/index.ts";
import type { Endpoint, EndpointPolicy } from "../gen/waggle/v1/endpoint.ts";
import type { Plugin } from "../gen/waggle/v1/plugin.ts";
import { type AgentProcess, type Ending, logTail, startAgentProcess } from "./agent-process.ts";
import { type CommandOptions, type CommandResult, run } from "./command.ts";
import { countLeftovers, type Leftovers, programIds } from "./leftovers.ts";
import {
  type Addressing,
  addNamespace,
  defaultAddressing,
  execIn,
  inNamespace,
  namespacePath,
  wire,
} from "./namespaces.ts";
import { makeScratch, removeScratchNow, type Scratch } from "./scratch.ts";
import { markOwner } from "./stale.ts";
import { Undo } from "./undo.ts";

/** A plugin to register once the agent serves. */
export interface WorldPlugin {
  /** Absolute path of the directory with plugin.yaml. */
  readonly directory: string;
  /** True unless told otherwise. */
  readonly enable?: boolean;
  readonly priority?: number;
  readonly config?: Readonly<Record<string, string>>;
}

export interface WorldOptions {
  /** How many pods; 2 unless told otherwise. */
  readonly pods?: number;
  /** Registered in this order before the pods are created. */
  readonly plugins?: readonly WorldPlugin[];
  /** `fake` runs the agent without BPF, namespaces and privileges: same API, no packets. */
  readonly datapath?: "kernel" | "fake";
  /** Further arguments of `waggle agent`. */
  readonly agentArguments?: readonly string[];
  /** Further environment of the agent. */
  readonly agentEnv?: Readonly<Record<string, string>>;
  /** False: namespaces only; start the agent with `startAgent`. */
  readonly agent?: boolean;
  /** False: pod namespaces stay empty; fill them with `createEndpoint`. */
  readonly endpoints?: boolean;
  readonly addressing?: Partial<Addressing>;
  /** Milliseconds an agent may take to serve; 60 s unless told otherwise. */
  readonly startTimeoutMs?: number;
  /** Told what is being done, for progress lines. */
  readonly onProgress?: (what: string, world: World) => void;
  /** Gives building up, at the next step of it. */
  readonly signal?: AbortSignal;
}

/** A pod of the world. */
export interface WorldPod {
  /** "pod1": for exec. */
  readonly name: string;
  /** Name of its network namespace. */
  readonly namespace: string;
  /** Path of its network namespace. */
  readonly netns: string;
  /** Name of its endpoint: "default/pod1". */
  readonly endpointName: string;
  /** As the agent made it. @throws Error before the endpoint was created */
  readonly endpoint: Endpoint;
  /** Address. @throws Error before the endpoint was created */
  readonly ipv4: string;
  /** Endpoint id. @throws Error before the endpoint was created */
  readonly id: number;
}

/** What to give an endpoint beside its name and namespace. */
export interface WorldEndpointOptions {
  readonly labels?: Readonly<Record<string, string>>;
  readonly ipv4?: string;
  readonly ipv6?: string;
  readonly policy?: EndpointPolicy;
}

class Pod implements WorldPod {
  readonly name: string;
  readonly namespace: string;
  readonly endpointName: string;
  created: Endpoint | undefined;

  constructor(name: string, namespace: string) {
    this.name = name;
    this.namespace = namespace;
    this.endpointName = `default/${name}`;
  }

  get netns(): string {
    return namespacePath(this.namespace);
  }
  get endpoint(): Endpoint {
    if (this.created === undefined) throw new Error(`${this.name} has no endpoint yet`);
    return this.created;
  }
  get ipv4(): string {
    return this.endpoint.ipv4;
  }
  get id(): number {
    return this.endpoint.id;
  }
}

/** Worlds of this process that still stand, for its exit. */
const standing = new Set<World>();
let exitHandled = false;

/** Builds a world; what was built is taken down again when something fails. @throws CommandError, AgentError, CallError */
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

/** See `createWorld`. */
export class World {
  /** Unique, "wg1a2b3c": first part of the names of all namespaces. */
  readonly id = `wg${randomBytes(3).toString("hex")}`;
  readonly addressing: Addressing;
  /** Real names of the namespaces by their names in here: node, outside, pod1 … podN. */
  readonly namespaces: Readonly<Record<string, string>>;
  readonly pods: readonly WorldPod[];
  /** Plugins as registered at the start. */
  readonly plugins: Plugin[] = [];

  readonly #options: WorldOptions;
  readonly #undo = new Undo();
  readonly #children = new Set<ChildProcess>();
  readonly #programs = new Set<number>();
  #scratch: Scratch | undefined;
  #agent: AgentProcess | undefined;
  #client: AgentClient | undefined;
  #destroyed: Promise<Leftovers> | undefined;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.addressing = { ...defaultAddressing, ...options.addressing };
    const pods = Array.from(
      { length: options.pods ?? 2 },
      (_, index) => new Pod(`pod${index + 1}`, `${this.id}-pod${index + 1}`),
    );
    this.pods = pods;
    this.namespaces = {
      node: `${this.id}-node`,
      outside: `${this.id}-outside`,
      ...Object.fromEntries(pods.map((pod) => [pod.name, pod.namespace])),
    };
  }

  /** The pod of this name ("pod1"). @throws RangeError */
  pod(name: string): WorldPod {
    const pod = this.pods.find((one) => one.name === name);
    if (pod === undefined) throw new RangeError(`this world has no pod ${JSON.stringify(name)}`);
    return pod;
  }

  /** Files of the world. */
  get scratch(): Scratch {
    if (this.#scratch === undefined) throw new Error("the world is not built");
    return this.#scratch;
  }

  get socket(): string {
    return this.scratch.socket;
  }

  /** The running agent. @throws Error when none runs */
  get agent(): AgentProcess {
    if (this.#agent === undefined) throw new Error("no agent runs in this world");
    return this.#agent;
  }

  /** Speaks to the agent; finds it again after a restart. */
  get client(): AgentClient {
    this.#client ??= connect({ kind: "socket", path: this.socket });
    return this.#client;
  }

  /** For `createWorld`. */
  async build(): Promise<void> {
    const progress = (what: string): void => {
      this.#options.signal?.throwIfAborted();
      this.#options.onProgress?.(what, this);
    };
    this.#standUp();
    this.#scratch = await makeScratch(this.id, this.real, this.#undo);
    markOwner(this.#scratch.directory);
    if (this.real) {
      progress("network namespaces");
      for (const namespace of Object.values(this.namespaces)) await addNamespace(namespace, this.#undo);
      await wire(this.#namespace("node"), this.#namespace("outside"), this.addressing);
    }
    this.#undo.add("children", () => this.#stopChildren());
    if (this.#options.agent === false) return;
    progress("the agent");
    await this.startAgent();
    for (const plugin of this.#options.plugins ?? []) {
      progress(`plugin ${plugin.directory}`);
      await this.registerPlugin(plugin);
    }
    if (this.#options.endpoints === false) return;
    for (const pod of this.pods) {
      progress(pod.name);
      await this.createEndpoint(pod.name);
    }
    this.#options.signal?.throwIfAborted();
  }

  /** Whether packets can be sent: a world with a fake datapath has no namespaces. */
  get real(): boolean {
    return this.#options.datapath !== "fake";
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

  /** Starts the agent and waits until it serves. @throws AgentError */
  async startAgent(extraArguments: readonly string[] = []): Promise<AgentProcess> {
    if (this.#agent?.running === true) throw new Error("an agent runs in this world already");
    const { scratch, addressing } = this;
    this.#agent = await startAgentProcess({
      namespace: this.real ? this.#namespace("node") : undefined,
      socket: scratch.socket,
      log: scratch.log,
      arguments: [
        ...["--state-dir", scratch.stateDir, "--bpf-root", scratch.bpfRoot, "--socket", scratch.socket],
        ...["--devices", "eth0", "--pod-cidr", addressing.podCidr],
        ...(this.real ? [] : ["--datapath", "fake"]),
        ...(this.#options.agentArguments ?? []),
        ...extraArguments,
      ],
      env: this.#options.agentEnv ?? {},
      startTimeoutMs: this.#options.startTimeoutMs ?? 60_000,
    });
    return this.#agent;
  }

  /** Ends the agent with a signal and waits until it is gone. @throws AgentError when it does not stop */
  killAgent(signal: NodeJS.Signals = "SIGTERM"): Promise<Ending> {
    return this.agent.stop(signal);
  }

  /** Ends the agent, by SIGTERM unless told otherwise, and starts it again on the same state. */
  async restartAgent(
    signal: NodeJS.Signals = "SIGTERM",
    extraArguments: readonly string[] = [],
  ): Promise<void> {
    await this.killAgent(signal);
    await this.startAgent(extraArguments);
  }

  /** Registers a plugin, enabled unless told otherwise. @throws CallError */
  async registerPlugin(plugin: WorldPlugin): Promise<Plugin> {
    const { plugin: registered } = await this.client.plugins.registerPlugin(
      {
        directory: plugin.directory,
        enable: plugin.enable ?? true,
        config: { ...plugin.config },
        replaceMaps: false,
        ...(plugin.priority === undefined ? {} : { priority: plugin.priority }),
      },
      { waitForReady: true },
    );
    this.plugins.push(registered!);
    return registered!;
  }

  /** Creates the endpoint of a pod. @throws CallError */
  async createEndpoint(name: string, options: WorldEndpointOptions = {}): Promise<Endpoint> {
    const pod = this.pod(name) as Pod;
    const { endpoint } = await this.client.endpoints.createEndpoint(
      {
        spec: {
          name: pod.endpointName,
          netns: pod.netns,
          podInterface: "eth0",
          hostInterface: "",
          ipv4: options.ipv4 ?? "",
          ipv6: options.ipv6 ?? "",
          labels: { app: pod.name, ...options.labels },
          policy: options.policy,
        },
      },
      { waitForReady: true },
    );
    pod.created = endpoint!;
    return endpoint!;
  }

  /** Last lines of the agent's log. */
  agentLog(lines = 50): Promise<string> {
    return logTail(this.scratch.log, lines);
  }

  /** Takes everything down, last first, and says what could not be removed. Safe to call twice. @throws TeardownError */
  destroy(): Promise<Leftovers> {
    this.#destroyed ??= this.#destroy();
    return this.#destroyed;
  }

  async #destroy(): Promise<Leftovers> {
    await this.#notePrograms();
    try {
      await this.#undo.run();
    } finally {
      this.#client?.close();
      standing.delete(this);
    }
    return countLeftovers({
      namespaces: Object.values(this.namespaces),
      directory: this.#scratch?.directory,
      programs: [...this.#programs],
    });
  }

  async #notePrograms(): Promise<void> {
    if (this.#agent?.running !== true || !this.real) return;
    try {
      for (const id of await programIds(this.client)) this.#programs.add(id);
    } catch (error) {
      // An agent that cannot say what it has loaded must not keep its world standing.
      if (!(error instanceof CallError)) throw error;
    }
  }

  async #stopChildren(): Promise<void> {
    for (const child of this.#children) {
      const gone = new Promise((resolve) => child.once("close", resolve));
      if (child.exitCode === null && child.signalCode === null && child.kill("SIGKILL")) await gone;
    }
    if (this.#agent?.running === true) await this.#agent.stop();
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
    this.#agent?.signal("SIGKILL");
    for (const child of this.#children) child.kill("SIGKILL");
    for (const namespace of Object.values(this.namespaces)) {
      if (existsSync(namespacePath(namespace)))
        execFileSync("ip", ["netns", "delete", namespace], { stdio: "ignore" });
    }
    if (this.#scratch !== undefined) removeScratchNow(this.#scratch.directory);
  }
}
