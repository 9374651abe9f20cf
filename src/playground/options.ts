import type { World } from "./world.ts";

/** A plugin to register once the agent serves. */
export interface WorldPlugin {
  /** Absolute path of the directory with plugin.yaml. */
  readonly directory: string;
  /** True unless told otherwise. */
  readonly enable?: boolean;
  readonly priority?: number;
  readonly config?: Readonly<Record<string, string>>;
}

/** How pods of different nodes reach each other. */
export type RoutingMode = "tunnel" | "native";

export interface WorldOptions {
  /** How many nodes, 1 to 50; 1 unless told otherwise. Several share their state through etcd. */
  readonly nodes?: number;
  /** How many pods on all nodes together, which take turns; 2 unless told otherwise. */
  readonly pods?: number;
  /** False: IPv4 alone, and IPv6 is off in all namespaces. Otherwise all have both. */
  readonly ipv6?: boolean;
  /** Where pods have their IPv4 addresses from in a world of one node, for more of them than 10.0.1.0/24 has. */
  readonly podCidr?: string;
  /** Tunnel unless told otherwise. */
  readonly routingMode?: RoutingMode;
  /** Whether the outside host has routes to the pods; so in a world of one node, unless told otherwise. */
  readonly podRoutes?: boolean;
  /** Registered on every node, in this order, before the pods are created. */
  readonly plugins?: readonly WorldPlugin[];
  /** `fake` runs the agent without BPF, namespaces and privileges: same API, no packets. For one node. */
  readonly datapath?: "kernel" | "fake";
  /** Further arguments of `waggle agent`, of all nodes or of each by its name. */
  readonly agentArguments?: readonly string[] | ((node: string) => readonly string[]);
  /** Where agents keep compiled programs, so that several worlds compile them once: WAGGLE_CACHE_DIR, or the world's own. */
  readonly cacheDir?: string;
  /** Further environment of the agents. */
  readonly agentEnv?: Readonly<Record<string, string>>;
  /** False: namespaces only; start the agent with `startAgent`. */
  readonly agent?: boolean;
  /** False: pod namespaces stay empty; fill them with `createEndpoint`. */
  readonly endpoints?: boolean;
  /** Milliseconds an agent may take to serve; 60 s unless told otherwise. */
  readonly startTimeoutMs?: number;
  /** Told what is being done, for progress lines. */
  readonly onProgress?: (what: string, world: World) => void;
  /** Gives building up, at the next step of it. */
  readonly signal?: AbortSignal;
}
