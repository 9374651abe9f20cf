import { ApiServerLimits, Draining, GrpcServices } from "../cells/api-server/index.ts";
import { GlobalMapsToken, ReconciledMaps } from "../cells/datapath/index.ts";
import { Endpoints } from "../cells/endpoints/index.ts";
import { HookLinking } from "../cells/hook-linker/index.ts";
import { Identities } from "../cells/identity/index.ts";
import { NodeIpam } from "../cells/ipam/index.ts";
import { IpCaches } from "../cells/ipcache/index.ts";
import { Loading } from "../cells/loader/index.ts";
import { DatapathMetrics, Monitoring } from "../cells/monitor/index.ts";
import { NodeNetworking } from "../cells/node-config/index.ts";
import { Nodes } from "../cells/nodes/index.ts";
import { Plugins } from "../cells/plugin-registry/index.ts";
import { PluginRecordsToken } from "../cells/plugin-table/index.ts";
import { Policies } from "../cells/policy-maps/index.ts";
import { Services } from "../cells/services/index.ts";
import {
  contribute,
  HealthTree,
  HiveInfo,
  JobsInfo,
  Log,
  module,
  optional,
  providePrivate,
  token,
} from "../hive/index.ts";
import { type ApiRuntime, logCalls, StreamSlots } from "./runtime/index.ts";
import { agentService } from "./services/agent.ts";
import { datapathService } from "./services/datapath.ts";
import { endpointService } from "./services/endpoint.ts";
import { identityService } from "./services/identity.ts";
import { ipCacheService } from "./services/ipcache.ts";
import { loadBalancerService } from "./services/load-balancer.ts";
import { nodeService } from "./services/node.ts";
import { pluginService } from "./services/plugin.ts";
import { apiVersion } from "./version.ts";

const runtime = token<ApiRuntime>("api-runtime");

/** The agent's own services, contributed to its gRPC server. */
export const apiCell = module(
  "api",
  "gRPC services of the agent",

  providePrivate(
    runtime,
    { log: Log, limits: ApiServerLimits, draining: Draining },
    ({ log, limits, draining }) => ({
      log,
      limits,
      draining,
      streams: new StreamSlots(limits.maxWatchers),
      interceptors: [logCalls],
    }),
  ),

  contribute(GrpcServices, { runtime, endpoints: Endpoints }, ({ runtime, ...deps }) =>
    endpointService(deps, runtime),
  ),
  contribute(GrpcServices, { runtime, identities: Identities }, ({ runtime, ...deps }) =>
    identityService(deps, runtime),
  ),
  contribute(GrpcServices, { runtime, nodes: Nodes }, ({ runtime, ...deps }) => nodeService(deps, runtime)),
  contribute(GrpcServices, { runtime, ipCache: IpCaches }, ({ runtime, ...deps }) =>
    ipCacheService(deps, runtime),
  ),
  contribute(GrpcServices, { runtime, services: Services }, ({ runtime, ...deps }) =>
    loadBalancerService(deps, runtime),
  ),
  contribute(
    GrpcServices,
    { runtime, plugins: Plugins, hooks: HookLinking, records: PluginRecordsToken, loader: Loading },
    ({ runtime, ...deps }) => pluginService(deps, runtime),
  ),
  contribute(
    GrpcServices,
    {
      runtime,
      maps: GlobalMapsToken,
      policies: Policies,
      reconciled: ReconciledMaps,
      loader: Loading,
      hooks: HookLinking,
      plugins: Plugins,
      monitor: Monitoring,
      metrics: DatapathMetrics,
    },
    ({ runtime, ...deps }) => datapathService(deps, runtime),
  ),
  contribute(
    GrpcServices,
    {
      runtime,
      health: HealthTree,
      hive: HiveInfo,
      jobs: JobsInfo,
      node: optional(NodeNetworking),
      ipam: optional(NodeIpam),
      endpoints: optional(Endpoints),
      plugins: optional(Plugins),
      services: optional(Services),
      ipCache: optional(IpCaches),
      identities: optional(Identities),
    },
    ({ runtime, ...deps }) => agentService({ ...deps, version: apiVersion() }, runtime),
  ),
);
