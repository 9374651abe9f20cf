export interface CleanupRequest {
  readonly stateDir: string;
  readonly bpfRoot: string;
  /** Socket on which the agent listens; removed when nobody does. */
  readonly socket: string;
  /** Stop a running agent instead of refusing. */
  readonly force: boolean;
  /** Only say what would be removed. */
  readonly dryRun: boolean;
  /** Leave the state directory. */
  readonly keepState: boolean;
}

/** Something that was removed, or would be. */
export interface Item {
  readonly kind: "filter" | "pins" | "mount" | "device" | "route" | "directory" | "file" | "socket";
  readonly name: string;
}

export interface CleanupResult {
  readonly items: readonly Item[];
  /** What could not be removed, one line each. */
  readonly problems: readonly string[];
}

/** Runs one removal, or in a dry run only takes note of it. */
export type Step = (item: Item, remove: () => Promise<void> | void) => Promise<void>;

/** An attachment as the state tells of it. */
export interface Trace {
  /** "lxc-12", "netdev-eth0", "host-cilium_host", "overlay-cilium_vxlan". */
  readonly attachment: string;
  readonly device: string;
  readonly mode: "tcx" | "clsact" | undefined;
}

/** An agent runs, and was not to be stopped. */
export class AgentRunningError extends Error {
  constructor(stateDir: string, pid: number | undefined, why = "stop it first, or use --force") {
    const who = pid === undefined ? "an agent" : `the agent with process id ${pid}`;
    super(`${who} runs on ${stateDir}: ${why}`);
    this.name = "AgentRunningError";
  }
}
