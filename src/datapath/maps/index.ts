/** The datapath's maps: layouts, codecs, and the columns they are printed in. */
export { checkLayouts, LayoutDriftError } from "./check.ts";
export { type CtEntry, type CtTuple, ct4Map, TupleFlag } from "./ct.ts";
export type { AnyMapDefinition, MapDefinition } from "./definition.ts";
export { type FragmentId, type FragmentPorts, fragmentsMap } from "./frag.ts";
export { type IpCacheKey, ipcacheMap, type RemoteEndpointInfo } from "./ipcache.ts";
export { encode, type LayoutField, type StructCodec, struct } from "./layout.ts";
export {
  type Lb4Backend,
  type Lb4Key,
  type Lb4ReverseNat,
  type Lb4Service,
  lb4BackendsMap,
  lb4ReverseNatMap,
  lb4ServicesMap,
} from "./lb.ts";
export { ENDPOINT_F_HOST, FAMILY_IPV4, type LxcEntry, type LxcKey, lxcMap } from "./lxc.ts";
export { MetricDirection, type MetricsKey, type MetricsValue, metricsMap } from "./metrics.ts";
export { hex, Protocol, protocolName } from "./names.ts";
export {
  POLICY_MAP,
  type PolicyEntry,
  type PolicyKey,
  policyEntry,
  policyMap,
  policyMapName,
  policyMapOf,
  policyPrefixLength,
} from "./policy.ts";
export { callPolicyMap, callsMapSpec, chainMapSpec, eventsMap } from "./programs.ts";
export {
  type GlobalMapOptions,
  globalMapSpecs,
  mapSpecByName,
  mapSpecs,
  SCRATCH_MAP,
  scratchMapSpec,
} from "./registry.ts";
export {
  type HookStats,
  hookStatsMap,
  type RateLimit,
  type RuntimeConfig,
  rateLimitMap,
  runtimeMap,
} from "./waggle.ts";
