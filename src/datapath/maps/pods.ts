/** What differs between the pods of a node, which all share one set of programs. */
import { MapType } from "../types.ts";
import { defineMap } from "./definition.ts";
import { ipv4, ipv6, mac, padding, struct, u16, u32 } from "./layout.ts";
import { hex } from "./names.ts";
import { policyMap } from "./policy.ts";

/** Endpoint ids are below this: as many entries have the arrays that are indexed by them. */
export const ENDPOINT_IDS = 65536;

/** Bits of `EndpointConfig.flags`. */
export const EndpointFlag = { enforceIngress: 1, enforceEgress: 2 } as const;

/** Value of `waggle_endpoints`: what the programs know of a pod. */
export interface EndpointConfig {
  /** Host-side device; 0: there is no such endpoint, or it is not ready, and packets for it are dropped. */
  readonly ifindex: number;
  readonly identity: number;
  /** Second of the monotonic clock at which the pod got its address: no connection of it is older. */
  readonly createdS: number;
  /** First record of its block in `waggle_hook_stats`. */
  readonly statsBase: number;
  /** "0.0.0.0" for none. */
  readonly ipv4: string;
  /** EndpointFlag. A direction that is enforced needs the pod's policy map in `waggle_policies`. */
  readonly flags: number;
  /** Endpoint id: the key. */
  readonly id: number;
  /** MAC of the pod's interface. */
  readonly mac: string;
  /** MAC of the host-side device. */
  readonly nodeMac: string;
  /** "::" for none. */
  readonly ipv6: string;
}

/**
 * The pods of this node, by endpoint id. The agent writes, bpf_lxc and plugins read. A packet may meet a value that is
 * half written, so `ifindex` is set last and cleared first.
 */
export const endpointsMap = defineMap<number, EndpointConfig>({
  name: "waggle_endpoints",
  type: MapType.array,
  maxEntries: ENDPOINT_IDS,
  key: u32,
  value: struct("endpoint_config", {
    ifindex: u32,
    identity: u32,
    createdS: u32,
    statsBase: u32,
    ipv4,
    flags: u16,
    id: u16,
    mac,
    nodeMac: mac,
    ipv6,
    pad: padding(8),
  }),
  formatKey: String,
  formatValue: (pod) =>
    `ifindex=${pod.ifindex} identity=${pod.identity} flags=${hex(pod.flags, 4)} ipv4=${pod.ipv4} ipv6=${pod.ipv6} ` +
    `mac=${pod.mac.toUpperCase()} nodemac=${pod.nodeMac.toUpperCase()} stats=${pod.statsBase}`,
});

/** Whose device is it: host-side ifindex to endpoint id. The agent writes, the entry programs of pods' devices read. */
export const devicesMap = defineMap<number, number>({
  name: "waggle_devices",
  type: MapType.hash,
  maxEntries: ENDPOINT_IDS,
  flags: 1,
  key: u32,
  value: u32,
  formatKey: String,
  formatValue: (id) => `endpoint=${id}`,
});

/**
 * Policy maps of the endpoints that enforce something, by endpoint id; see `BpfOps.setInnerMap`. Values read back are
 * map ids.
 */
export const policiesMap = defineMap<number, number>({
  name: "waggle_policies",
  type: MapType.arrayOfMaps,
  maxEntries: ENDPOINT_IDS,
  inner: policyMap,
  key: u32,
  value: u32,
  formatKey: String,
  formatValue: (id) => `map=${id}`,
});
