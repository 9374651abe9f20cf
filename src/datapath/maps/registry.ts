import { DatapathError } from "../errors.ts";
import { type MapSpec, MapType, type ObjectDescription } from "../types.ts";
import { ct4Map, ct6Map } from "./ct.ts";
import type { AnyMapDefinition, MapDefinition } from "./definition.ts";
import { epochsMap } from "./epochs.ts";
import { fragments6Map, fragmentsMap } from "./frag.ts";
import { ipcacheMap } from "./ipcache.ts";
import {
  lb4BackendsMap,
  lb4ReverseNatMap,
  lb4ServicesMap,
  lb6BackendsMap,
  lb6ReverseNatMap,
  lb6ServicesMap,
} from "./lb.ts";
import { lb4AffinityMap, lb6AffinityMap, lbAffinityMatchMap } from "./lb-affinity.ts";
import { lbFilterMap } from "./lb-filter.ts";
import { lbMaglevMap } from "./lb-maglev.ts";
import { lb4ReverseSkMap, lb6ReverseSkMap } from "./lb-sock.ts";
import { lxcMap } from "./lxc.ts";
import { forwardedMap, metricsMap } from "./metrics.ts";
import { devicesMap, endpointsMap, policiesMap } from "./pods.ts";
import { POLICY_MAP, policyMap } from "./policy.ts";
import { callPolicyMap, eventsMap } from "./programs.ts";
import { snat4Map, snat6Map } from "./snat.ts";
import { tunnelMap } from "./tunnel.ts";
import { hookStatsMap, icmpRateLimitMap, idleHooksMap, rateLimitMap, runtimeMap } from "./waggle.ts";

/** State of one packet between stages. Its layout is the C sources' own affair (bpf/lib). */
export const SCRATCH_MAP = "waggle_scratch";

/** Maps shared by all programs of the node whose layout is known here. */
const GLOBAL = [
  lxcMap,
  endpointsMap,
  devicesMap,
  policiesMap,
  ipcacheMap,
  epochsMap,
  lb4ServicesMap,
  lb4BackendsMap,
  lb4ReverseNatMap,
  lb6ServicesMap,
  lb6BackendsMap,
  lb6ReverseNatMap,
  lb4AffinityMap,
  lb6AffinityMap,
  lbAffinityMatchMap,
  lbMaglevMap,
  lbFilterMap,
  lb4ReverseSkMap,
  lb6ReverseSkMap,
  ct4Map,
  ct6Map,
  snat4Map,
  snat6Map,
  metricsMap,
  forwardedMap,
  fragmentsMap,
  fragments6Map,
  callPolicyMap,
  eventsMap,
  runtimeMap,
  idleHooksMap,
  tunnelMap,
  hookStatsMap,
  rateLimitMap,
  icmpRateLimitMap,
] as readonly unknown[] as readonly AnyMapDefinition[];

/** Arrays whose keys are given: their size is no matter of choice. */
const FIXED: readonly MapSpec[] = [
  endpointsMap,
  policiesMap,
  epochsMap,
  lbFilterMap,
  callPolicyMap,
  forwardedMap,
  idleHooksMap,
  tunnelMap,
];

/** Every typed map by its C name; `cilium_policy` stands for the policy map of any endpoint. */
export const mapSpecs: ReadonlyMap<string, AnyMapDefinition> = new Map(
  [...GLOBAL, policyMap as unknown as AnyMapDefinition].map((spec) => [spec.name, spec]),
);

/** Maps that pods' IPv6 alone uses, and whose memory is taken when they are made: about 100 MB with their usual sizes. */
export const preallocatedForIpv6: ReadonlySet<string> = new Set(
  [ct6Map, snat6Map, fragments6Map].map(({ name }) => name),
);

/** Names of the maps that all programs of a node share. */
export const globalMapNames: ReadonlySet<string> = new Set(GLOBAL.map(({ name }) => name));

export interface GlobalMapOptions {
  /** Possible CPUs, for per-CPU rings. */
  readonly cpus: number;
  /** Other limits than the usual ones, by map name. */
  readonly maxEntries?: Readonly<Record<string, number>>;
}

/**
 * The maps that all programs of a node share, ready for `BpfOps.ensurePinnedMap`.
 * @throws DatapathError INVALID_ARGUMENT when a limit is no positive integer or names no such map
 */
export function globalMapSpecs(options: GlobalMapOptions): readonly AnyMapDefinition[] {
  const limits = new Map(Object.entries(options.maxEntries ?? {}));
  for (const { name } of FIXED) {
    if (limits.has(name)) throw badLimit(name, "it has a place for all that there can be");
  }
  const specs = GLOBAL.map((spec) => {
    const usual = spec.type === MapType.perfEventArray ? options.cpus : spec.maxEntries;
    const maxEntries = limits.get(spec.name) ?? usual;
    limits.delete(spec.name);
    if (!Number.isInteger(maxEntries) || maxEntries < 1) throw badLimit(spec.name, `${maxEntries} entries`);
    return { ...spec, maxEntries };
  });
  const [unknown] = limits.keys();
  if (unknown !== undefined) throw badLimit(unknown, "no such map");
  return specs;
}

/**
 * The scratch map as a compiled object declares it, a record for each CPU: programs and plugins share one, so the agent
 * creates it.
 *
 * @param cpus that the machine may have
 * @throws DatapathError when the object declares none, or too few records: packets of further CPUs would be dropped
 */
export function scratchMapSpec(object: ObjectDescription, cpus: number): MapSpec {
  const spec = object.maps.find((map) => map.name === SCRATCH_MAP);
  if (spec !== undefined && spec.maxEntries >= cpus) return spec;
  const detail =
    spec === undefined
      ? "the object declares no such map"
      : `${cpus} CPUs are possible here, and programs work on ${spec.maxEntries} at most`;
  throw new DatapathError({
    operation: "find map",
    object: SCRATCH_MAP,
    detail,
    status: "FAILED_PRECONDITION",
  });
}

/**
 * The typed definition of a map by name, policy maps of endpoints included. Undefined for maps of plugins
 * and others without a known layout.
 */
export function mapSpecByName(name: string): MapDefinition<unknown, unknown> | undefined {
  const base = /^cilium_policy_\d{5}$/.test(name) ? POLICY_MAP : name;
  const spec = mapSpecs.get(base);
  return spec === undefined ? undefined : ({ ...spec, name } as unknown as MapDefinition<unknown, unknown>);
}

function badLimit(map: string, detail: string): DatapathError {
  return new DatapathError({ operation: "limit map", object: map, detail, status: "INVALID_ARGUMENT" });
}
