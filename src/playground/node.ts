// A node of a world: a network namespace with an agent in it, which has files, a socket and a bpffs of its own.

import { mkdir } from "node:fs/promises";
import { type AgentClient, CallError, connect } from "../client/index.ts";
import type { Endpoint } from "../gen/waggle/v1/endpoint.ts";
import type { Plugin } from "../gen/waggle/v1/plugin.ts";
import { type NodeAddresses, serviceNetworks } from "./addressing.ts";
import { type AgentProcess, startAgentProcess } from "./agent-process.ts";
import { programIds } from "./leftovers.ts";
import type { WorldPlugin } from "./options.ts";
import type { Pod, WorldEndpointOptions } from "./pods.ts";
import { type Ending, logTail } from "./processes.ts";
import { makeScratch, type Scratch } from "./scratch.ts";
import type { Undo } from "./undo.ts";

/** What a world tells its nodes. */
export interface NodeSettings {
  /** "node", or "node1" in a world of several: for exec, and the name that the agent goes by. */
  readonly name: string;
  /** Undefined where the datapath is fake. */
  readonly namespace: string | undefined;
  readonly addresses: NodeAddresses;
  /** Arguments of `waggle agent` beyond those for files and devices. */
  readonly agentArguments: readonly string[];
  readonly agentEnv: Readonly<Record<string, string>>;
  readonly startTimeoutMs: number;
}

/** See above. */
export class WorldNode {
  readonly name: string;
  readonly addresses: NodeAddresses;
  readonly #settings: NodeSettings;
  readonly #programs = new Set<number>();
  #scratch: Scratch | undefined;
  #cacheDir = "";
  #agent: AgentProcess | undefined;
  #client: AgentClient | undefined;

  constructor(settings: NodeSettings) {
    this.name = settings.name;
    this.addresses = settings.addresses;
    this.#settings = settings;
  }

  /** Lays out its files; compiled programs are shared with other nodes in `cacheDir`. For worlds. @throws CommandError */
  async prepare(directory: string, cacheDir: string, undo: Undo): Promise<void> {
    await mkdir(directory, { recursive: true });
    this.#cacheDir = cacheDir;
    this.#scratch = await makeScratch(directory, this.#settings.namespace !== undefined, undo);
  }

  /** Files of the node. @throws Error before the world is built */
  get scratch(): Scratch {
    if (this.#scratch === undefined) throw new Error("the world is not built");
    return this.#scratch;
  }

  /** Real name of its network namespace. @throws Error where the datapath is fake */
  get namespace(): string {
    const { namespace } = this.#settings;
    if (namespace === undefined) throw new Error("a world with a fake datapath has no namespaces");
    return namespace;
  }

  get socket(): string {
    return this.scratch.socket;
  }

  /** The running agent. @throws Error when none was started */
  get agent(): AgentProcess {
    if (this.#agent === undefined) throw new Error(`no agent runs on ${this.name}`);
    return this.#agent;
  }

  /** Whether an agent runs. */
  get running(): boolean {
    return this.#agent?.running === true;
  }

  /** Speaks to the agent; finds it again after a restart. */
  get client(): AgentClient {
    this.#client ??= connect({ kind: "socket", path: this.socket });
    return this.#client;
  }

  /**
   * Starts the agent and waits until it serves.
   * @param abandoned ends the waiting, and the agent with it
   * @throws AgentError; the signal's reason when it aborts
   */
  async startAgent(extraArguments: readonly string[] = [], abandoned?: AbortSignal): Promise<AgentProcess> {
    if (this.running) throw new Error(`an agent runs on ${this.name} already`);
    const { namespace, addresses, agentArguments, agentEnv, startTimeoutMs } = this.#settings;
    const { stateDir, bpfRoot, socket, log } = this.scratch;
    const settings = {
      namespace,
      socket,
      log,
      arguments: [
        ...["--state-dir", stateDir, "--bpf-root", bpfRoot, "--socket", socket],
        ...["--cache-dir", this.#cacheDir],
        ...["--node-name", this.name, "--devices", "eth0", "--pod-cidr", addresses.podCidr],
        ...["--service-cidr", serviceNetworks.join(",")],
        ...(namespace === undefined ? ["--datapath", "fake"] : []),
        ...agentArguments,
        ...extraArguments,
      ],
      env: agentEnv,
      startTimeoutMs,
    };
    this.#agent = await startAgentProcess(settings, abandoned);
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

  /** Last lines of the agent's log. */
  agentLog(lines = 50): Promise<string> {
    return logTail(this.scratch.log, lines);
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
    return registered!;
  }

  /** Creates the endpoint of a pod of this node. For worlds. @throws CallError */
  async createEndpoint(pod: Pod, options: WorldEndpointOptions): Promise<Endpoint> {
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

  /** Kernel ids of what the agent was seen to have loaded; asks it when it runs. For worlds. */
  async programs(): Promise<readonly number[]> {
    if (this.running && this.#settings.namespace !== undefined) {
      try {
        for (const id of await programIds(this.client)) this.#programs.add(id);
      } catch (error) {
        // An agent that cannot say what it has loaded must not keep its world standing.
        if (!(error instanceof CallError)) throw error;
      }
    }
    return [...this.#programs];
  }

  /** Lets go of the connection to the agent. For worlds. */
  close(): void {
    this.#client?.close();
  }

  /** For a process that is about to exit. */
  killNow(): void {
    this.#agent?.signal("SIGKILL");
  }
}
