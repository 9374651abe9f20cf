import { concat, from, map, type Observable, of } from "rxjs";
import type { EndpointManager } from "../../cells/endpoints/types.ts";
import type { IdentityAllocator } from "../../cells/identity/types.ts";
import type { Ipam, PoolUse } from "../../cells/ipam/types.ts";
import type { IpCache } from "../../cells/ipcache/types.ts";
import type { NodeNetwork } from "../../cells/node-config/types.ts";
import type { PluginRegistry } from "../../cells/plugin-registry/types.ts";
import type { ServiceManager } from "../../cells/services/types.ts";
import {
  type AddressUsage,
  AgentServiceService,
  type GetStatusResponse,
  type WatchHealthResponse,
} from "../../gen/waggle/v1/agent.ts";
import type { HealthRegistry, HiveInspector, JobInspector } from "../../hive/index.ts";
import { registration, type ServiceRegistration } from "../registration.ts";
import { type ApiRuntime, relay } from "../runtime/index.ts";
import {
  configOf,
  degradedNodes,
  healthChangeToMessage,
  healthReports,
  healthToMessage,
  jobToMessage,
  levelToMessage,
  moduleToMessage,
  nodeToMessage,
} from "../translate/agent.ts";

/** What {@link agentService} shows. The networking parts may be absent in agents composed without them. */
export interface AgentServiceDeps {
  /** Version of the agent, "0.1.0". */
  readonly version: string;
  readonly health: HealthRegistry;
  readonly hive: HiveInspector;
  readonly jobs: JobInspector;
  readonly node?: NodeNetwork | undefined;
  readonly ipam?: Ipam | undefined;
  readonly endpoints?: Pick<EndpointManager, "table"> | undefined;
  readonly plugins?: Pick<PluginRegistry, "table"> | undefined;
  readonly services?: Pick<ServiceManager, "table"> | undefined;
  readonly ipCache?: Pick<IpCache, "table"> | undefined;
  readonly identities?: Pick<IdentityAllocator, "table"> | undefined;
}

/** waggle.v1.AgentService. */
export function agentService(deps: AgentServiceDeps, runtime: ApiRuntime): ServiceRegistration {
  const { health, hive, jobs } = deps;
  const startedAt = new Date(Date.now() - process.uptime() * 1000);

  return registration(AgentServiceService, runtime, {
    getStatus() {
      const root = health.snapshot();
      return {
        version: deps.version,
        pid: process.pid,
        startedAt,
        health: levelToMessage(root.level),
        degraded: degradedNodes(root),
        ...figures(deps),
        watchers: runtime.streams.used,
      };
    },

    getConfig() {
      const entries = configOf(hive.describe());
      return { entries: entries.sort((left, right) => (left.flag < right.flag ? -1 : 1)) };
    },

    getHealth() {
      return { root: healthToMessage(health.snapshot()) };
    },

    watchHealth(_request, context, out) {
      return relay(healthStream(health), context, out, {
        capacity: runtime.limits.monitorBuffer,
        readerTimeout: runtime.limits.readerTimeout,
        toResponse: (response) => response,
      });
    },

    getCells() {
      return { root: moduleToMessage(hive.describe()) };
    },

    getCellGraph() {
      return { dot: hive.dot() };
    },

    listJobs() {
      return { jobs: jobs.list().map(jobToMessage) };
    },
  });
}

type Figures = Omit<GetStatusResponse, "version" | "pid" | "startedAt" | "health" | "degraded" | "watchers">;

function figures({
  node,
  ipam,
  endpoints,
  plugins,
  services,
  ipCache,
  identities,
}: AgentServiceDeps): Figures {
  const states = endpoints?.table.list().map(({ state }) => state) ?? [];
  const ready = states.filter((state) => state === "ready").length;
  const notReady = states.filter((state) => state === "not-ready").length;
  const registered = plugins?.table.list() ?? [];
  return {
    node: node && nodeToMessage(node.config),
    addresses: usage(ipam?.pools[0]),
    addressesV6: usage(ipam?.pools[1]),
    endpoints: { total: states.length, ready, notReady, inTransition: states.length - ready - notReady },
    plugins: {
      registered: registered.length,
      enabled: registered.filter(({ enabled }) => enabled).length,
    },
    services: services?.table.size ?? 0,
    ipcacheEntries: ipCache?.table.size ?? 0,
    identities: identities?.table.size ?? 0,
  };
}

/** Capacities that do not fit into the message are cut off at its largest number. */
const usage = (pool: PoolUse | undefined): AddressUsage | undefined =>
  pool && { used: pool.used, capacity: Math.min(pool.capacity, 0xffff_ffff) };

/** Snapshot and changes are taken in one synchronous step, so nothing falls between them. */
function healthStream(health: HealthRegistry): Observable<WatchHealthResponse> {
  const snapshot = [...healthReports(health.snapshot())];
  return concat(
    from(snapshot).pipe(map((value): WatchHealthResponse => ({ change: { $case: "upsert", value } }))),
    of<WatchHealthResponse>({ change: { $case: "sync", value: {} } }),
    health.changes().pipe(
      map(
        (change): WatchHealthResponse => ({
          change: { $case: change.removed ? "delete" : "upsert", value: healthChangeToMessage(change) },
        }),
      ),
    ),
  );
}
