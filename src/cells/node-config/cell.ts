import { auditTime, filter, retry, type Subscription, tap } from "rxjs";
import type { NetChange } from "../../datapath/index.ts";
import {
  type ConfigOf,
  config,
  Health,
  type HealthScope,
  Jobs,
  Lifecycle,
  Log,
  type Logger,
  module,
  provide,
  token,
} from "../../hive/index.ts";
import { DatapathToken, PodFamiliesToken } from "../datapath/index.ts";
import { concernsNode } from "./concerns.ts";
import { NamespaceLock } from "./lock.ts";
import { NodeNetworkReconciler, type PassReport } from "./network.ts";
import { nodeFlags } from "./settings.ts";
import { NodeNetworking } from "./tokens.ts";
import type { NodeConfig } from "./types.ts";

/** What the node-config cell is told. */
export const NodeSettings = token<ConfigOf<typeof nodeFlags>>("NodeSettings");

/** How often everything is looked at, though the kernel has reported no change. */
const passIntervalMs = 30_000;
/** How long a watch that has ended rests. */
const rewatchMs = 1_000;
/** A change is rarely alone. */
const settleMs = 50;
/** How many repairs health tells of. */
const toldRepairs = 10;

/** The node's name, pod networks, devices and routes. */
export const nodeConfigCell = module(
  "node-config",
  "Node facts: pod networks, devices and routes",
  config(NodeSettings, nodeFlags),
  provide(PodFamiliesToken, { settings: NodeSettings }, ({ settings }) => ({
    ipv6: settings.podCidrV6 !== "",
  })),
  provide(
    NodeNetworking,
    {
      settings: NodeSettings,
      datapath: DatapathToken,
      lifecycle: Lifecycle,
      jobs: Jobs,
      health: Health,
      log: Log,
    },
    ({ settings, datapath, lifecycle, jobs, health, log }) => {
      const network = new NodeNetworkReconciler(settings, datapath.net, () => passes.trigger());
      const reporter = new Reporter(health, log);
      let subscription: Subscription | undefined;
      // The fake of one process is nobody else's.
      if (datapath.kind === "kernel") {
        const lock = new NamespaceLock();
        lifecycle.append({ name: "namespace lock", start: () => lock.take(), stop: () => lock.release() });
      }
      lifecycle.append({
        name: "node network",
        start: async () => {
          const { repairs } = await network.pass();
          log.info({ ...network.config, done: repairs }, "node network is up");
          reporter.first(network.config);
          subscription = datapath.net
            .watch()
            .pipe(
              tap({ error: (error) => log.warn({ err: error }, "changes are not watched for a moment") }),
              retry({ delay: rewatchMs }),
              filter((change: NetChange) => concernsNode(change, network)),
              auditTime(settleMs),
            )
            .subscribe(() => passes.trigger());
        },
        stop: () => subscription?.unsubscribe(),
      });
      const passes = jobs.timer(
        "node network",
        async () => reporter.report(network.config, await network.pass()),
        { intervalMs: passIntervalMs, backoff: { minMs: 200, maxMs: passIntervalMs } },
      );
      jobs.timer(
        "node sysctls",
        async () => {
          const repairs = await network.passSysctls();
          if (repairs.length > 0) reporter.report(network.config, { repairs, problems: [] });
        },
        { intervalMs: network.checkIntervalMs },
      );
      return network;
    },
  ),
);

/** Tells of what was found, and when. */
class Reporter {
  readonly #health: HealthScope;
  readonly #log: Logger;
  readonly #told: string[] = [];

  constructor(health: HealthScope, log: Logger) {
    this.#health = health;
    this.#log = log;
  }

  /** What the first pass did is no repair. */
  first(config: NodeConfig): void {
    this.#health.ok(summary(config));
  }

  report(config: NodeConfig, { repairs, problems }: PassReport): void {
    const at = new Date().toISOString();
    for (const what of repairs) {
      this.#log.warn({ repair: what }, "node network repaired");
      this.#told.push(`${what} (${at})`);
    }
    this.#told.splice(0, Math.max(0, this.#told.length - toldRepairs));
    const text = [summary(config), ...this.#told].join("; ");
    if (problems.length === 0) this.#health.ok(text);
    else this.#health.degraded(text, new Error(problems.join("; ")));
  }
}

function summary({ podCidr, podCidrV6, routerIpv4, routerIpv6, devices, routingMode }: NodeConfig): string {
  const pods = podCidrV6 === undefined ? "" : ` and ${podCidrV6} behind ${routerIpv6}`;
  const names = devices.map(({ name }) => name).join(", ") || "none";
  return `pods ${podCidr} behind ${routerIpv4}${pods}, routing ${routingMode}, devices ${names}`;
}
