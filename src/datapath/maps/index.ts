/** The datapath's maps: layouts, codecs, and the columns they are printed in. */
export { checkLayouts, LayoutDriftError } from "./check.ts";
export { type CtEntry, type CtTuple, ct4Map, ct6Map, TupleFlag } from "./ct.ts";
export type { AnyMapDefinition, MapDefinition } from "./definition.ts";
export { advanceEpoch, EpochTable, epochsMap } from "./epochs.ts";
export { FAMILY_IPV4, FAMILY_IPV6 } from "./family.ts";
export { type FragmentId, type FragmentPorts, fragments6Map, fragmentsMap } from "./frag.ts";
export { type IpCacheKey, ipcacheMap, type RemoteEndpointInfo } from "./ipcache.ts";
export { encode, type LayoutField, type StructCodec, struct } from "./layout.ts";
export {
  type FrontendParameters,
  LbAlgorithm,
  type LbBackend,
  LbBackendState,
  type LbKey,
  type LbReverseNat,
  type LbService,
  LbServiceFlag,
  lb4BackendsMap,
  lb4ReverseNatMap,
  lb4ServicesMap,
  lb6BackendsMap,
  lb6ReverseNatMap,
  lb6ServicesMap,
  MAX_AFFINITY_TIMEOUT_S,
  packFrontend,
  unpackFrontend,
} from "./lb.ts";
export {
  type LbAffinity,
  type LbAffinityKey,
  type LbAffinityMatch,
  lb4AffinityMap,
  lb6AffinityMap,
  lbAffinityMatchMap,
} from "./lb-affinity.ts";
export { LB_FILTER_WORDS, lbFilterBit, lbFilterMap } from "./lb-filter.ts";
export { lbMaglevMap, MAGLEV_TABLE_SIZE, type MaglevTable } from "./lb-maglev.ts";
export { type LbReverseSk, type LbReverseSkKey, lb4ReverseSkMap, lb6ReverseSkMap } from "./lb-sock.ts";
export { ENDPOINT_F_HOST, type LxcEntry, type LxcKey, lxcMap } from "./lxc.ts";
export {
  FORWARDED_BETWEEN_PODS,
  type Forwarded,
  forwardedMap,
  MetricDirection,
  type MetricsKey,
  type MetricsValue,
  metricsMap,
} from "./metrics.ts";
export { hex, Protocol, protocolName } from "./names.ts";
export {
  devicesMap,
  ENDPOINT_IDS,
  type EndpointConfig,
  EndpointFlag,
  endpointsMap,
  policiesMap,
} from "./pods.ts";
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
  globalMapNames,
  globalMapSpecs,
  mapSpecByName,
  mapSpecs,
  preallocatedForIpv6,
  SCRATCH_MAP,
  scratchMapSpec,
} from "./registry.ts";
export { type SnatEntry, snat4Map, snat6Map } from "./snat.ts";
export { type TunnelControl, tunnelMap } from "./tunnel.ts";
export {
  type HookStats,
  hookStatsMap,
  idleHooksMap,
  type RateLimit,
  type RuntimeConfig,
  rateLimitMap,
  runtimeMap,
} from "./waggle.ts";
