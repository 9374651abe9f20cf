/**
 * Service load balancing: frontends, their slots, backends, and the way back. A map a family, one shape of key
 * and value in TypeScript for both.
 */
import { MapType } from "../types.ts";
import { defineMap, type MapDefinition } from "./definition.ts";
import { ipv4, ipv6, named, padding, port, struct, u8, u16, u32 } from "./layout.ts";
import { hostPort, protocolName } from "./names.ts";

/** Key of `cilium_lb4_services_v2` and `cilium_lb6_services_v2`. */
export interface LbKey {
  /** Frontend address. */
  readonly address: string;
  readonly port: number;
  /** 0 is the frontend itself, 1..count its backends in order, then the quarantined ones. */
  readonly slot: number;
  /** IANA number: 6 TCP, 17 UDP, 132 SCTP. */
  readonly protocol: number;
  /** 0 external, 1 internal. */
  readonly scope: number;
}

/** Value of `cilium_lb4_services_v2` and `cilium_lb6_services_v2`. */
export interface LbService {
  /** In slots from 1: the backend. In slot 0: see `packFrontend`. */
  readonly backendId: number;
  /** In slot 0: number of backends. */
  readonly count: number;
  readonly revNatIndex: number;
  /** LbServiceFlag bits, in slot 0. */
  readonly flags: number;
  readonly flags2: number;
  /** In slot 0: number of quarantined backends, after the first `count`. */
  readonly qcount: number;
}

/** Value of `cilium_lb4_backends_v2` and `cilium_lb6_backends_v3`. */
export interface LbBackend {
  readonly address: string;
  readonly port: number;
  /** 0 for any. */
  readonly protocol: number;
  /** LbBackendState. */
  readonly flags: number;
  readonly clusterId: number;
  readonly zone: number;
}

/** Value of `cilium_lb4_reverse_nat` and `cilium_lb6_reverse_nat`: the frontend that a reply must come from. */
export interface LbReverseNat {
  readonly address: string;
  readonly port: number;
}

/** Bits of `LbService.flags`, with the numbers established in the field (Cilium's datapath). */
export const LbServiceFlag = {
  externalIp: 0x01,
  nodePort: 0x02,
  sessionAffinity: 0x10,
  loadBalancer: 0x20,
} as const;

/**
 * `LbBackend.flags`: an active one is chosen; a terminating one keeps the TCP connections it has, a quarantined
 * one everything it has; one in maintenance gets nothing.
 */
export const LbBackendState = { active: 0, terminating: 1, quarantined: 2, maintenance: 3 } as const;

/** How a backend is chosen: the high byte of a frontend's `backendId`. */
export const LbAlgorithm = { unspecified: 0, random: 1, maglev: 2 } as const;

/** Longest affinity that a frontend can ask for, in seconds: 24 bits. */
export const MAX_AFFINITY_TIMEOUT_S = 0xffffff;

/** What slot 0 of a frontend keeps where other slots name a backend. */
export interface FrontendParameters {
  /** Seconds without traffic after which a client may be served by another backend; 0 for no affinity. */
  readonly affinityTimeoutS: number;
  /** LbAlgorithm. */
  readonly algorithm: number;
}

/** `backendId` of a frontend's slot 0. The timeout is cut at MAX_AFFINITY_TIMEOUT_S. */
export function packFrontend({ affinityTimeoutS, algorithm }: FrontendParameters): number {
  return algorithm * 0x1000000 + Math.min(affinityTimeoutS, MAX_AFFINITY_TIMEOUT_S);
}

/** The reverse of packFrontend. */
export function unpackFrontend(backendId: number): FrontendParameters {
  return { affinityTimeoutS: backendId & MAX_AFFINITY_TIMEOUT_S, algorithm: backendId >>> 24 };
}

/**
 * Room for 30,000 services with 100,000 backends, and as many slots again. Maps that are not preallocated take
 * memory for what is in them; an empty place costs a pointer.
 */
const SERVICES = 262144;
const BACKENDS = 131072;

const lbService = (family: 4 | 6) =>
  struct(`lb${family}_service`, {
    backendId: u32,
    count: u16,
    revNatIndex: u16,
    flags: u8,
    flags2: u8,
    qcount: u16,
  });

const addressOf = (family: 4 | 6) => (family === 4 ? ipv4 : ipv6);

/** Frontends and their slots. The agent writes; bpf_lxc, bpf_host and bpf_sock read. */
function servicesMap(family: 4 | 6): MapDefinition<LbKey, LbService> {
  return defineMap<LbKey, LbService>({
    name: `cilium_lb${family}_services_v2`,
    type: MapType.hash,
    maxEntries: SERVICES,
    flags: 1,
    key: struct(`lb${family}_key`, {
      address: addressOf(family),
      port: named("dport", port),
      slot: named("backend_slot", u16),
      protocol: named("proto", u8),
      scope: u8,
      pad: padding(2),
    }),
    value: lbService(family),
    formatKey: (key) =>
      hostPort(key) +
      (key.protocol === 0 ? "" : `/${protocolName(key.protocol)}`) +
      (key.scope === 1 ? "/i" : "") +
      (key.slot === 0 ? "" : ` (${key.slot})`),
    formatValue: (service) =>
      `${service.backendId} ${service.count} (${service.revNatIndex}) ` +
      `[0x${service.flags.toString(16)} 0x${service.flags2.toString(16)}]`,
  });
}

/** Backends by id. The agent writes; bpf_lxc, bpf_host and bpf_sock read. */
function backendsMap(family: 4 | 6, name: string): MapDefinition<number, LbBackend> {
  return defineMap<number, LbBackend>({
    name,
    type: MapType.hash,
    maxEntries: BACKENDS,
    flags: 1,
    key: u32,
    value: struct(`lb${family}_backend`, {
      address: addressOf(family),
      port,
      protocol: named("proto", u8),
      flags: u8,
      clusterId: u16,
      zone: u8,
      pad: padding(1),
    }),
    formatKey: String,
    formatValue: (backend) => `${protocolName(backend.protocol)}://${hostPort(backend)}`,
  });
}

/** Reverse-NAT index to frontend. The agent writes; bpf_lxc and bpf_host read. */
function reverseNatMap(family: 4 | 6): MapDefinition<number, LbReverseNat> {
  return defineMap<number, LbReverseNat>({
    name: `cilium_lb${family}_reverse_nat`,
    type: MapType.hash,
    maxEntries: 65536,
    flags: 1,
    key: u16,
    value: struct(`lb${family}_reverse_nat`, { address: addressOf(family), port }),
    formatKey: String,
    formatValue: hostPort,
  });
}

export const lb4ServicesMap = servicesMap(4);
export const lb6ServicesMap = servicesMap(6);
export const lb4BackendsMap = backendsMap(4, "cilium_lb4_backends_v2");
export const lb6BackendsMap = backendsMap(6, "cilium_lb6_backends_v3");
export const lb4ReverseNatMap = reverseNatMap(4);
export const lb6ReverseNatMap = reverseNatMap(6);
