/** Service load balancing: frontends, their slots, backends, and the way back. */
import { MapType } from "../types.ts";
import { defineMap } from "./definition.ts";
import { ipv4, named, padding, port, struct, u8, u16, u32 } from "./layout.ts";
import { protocolName } from "./names.ts";

/** Key of `cilium_lb4_services_v2`. */
export interface Lb4Key {
  /** Frontend address. */
  readonly address: string;
  readonly port: number;
  /** 0 is the frontend itself, 1..count its backends in order. */
  readonly slot: number;
  /** IANA number: 6 TCP, 17 UDP. */
  readonly protocol: number;
  /** 0 external, 1 internal. */
  readonly scope: number;
}

/** Value of `cilium_lb4_services_v2`. */
export interface Lb4Service {
  /** In slots from 1: the backend. In slot 0: affinity timeout or proxy port, 0 when unused. */
  readonly backendId: number;
  /** In slot 0: number of backends. */
  readonly count: number;
  readonly revNatIndex: number;
  readonly flags: number;
  readonly flags2: number;
  /** In slot 0: number of quarantined backends, after the first `count`. */
  readonly qcount: number;
}

/** Value of `cilium_lb4_backends_v2`. */
export interface Lb4Backend {
  readonly address: string;
  readonly port: number;
  /** 0 for any. */
  readonly protocol: number;
  readonly flags: number;
  readonly clusterId: number;
  readonly zone: number;
}

/** Value of `cilium_lb4_reverse_nat`: the frontend that a reply must come from. */
export interface Lb4ReverseNat {
  readonly address: string;
  readonly port: number;
}

const lb4Key = struct("lb4_key", {
  address: ipv4,
  port: named("dport", port),
  slot: named("backend_slot", u16),
  protocol: named("proto", u8),
  scope: u8,
  pad: padding(2),
});

const lb4Service = struct("lb4_service", {
  backendId: u32,
  count: u16,
  revNatIndex: u16,
  flags: u8,
  flags2: u8,
  qcount: u16,
});

const lb4Backend = struct("lb4_backend", {
  address: ipv4,
  port,
  protocol: named("proto", u8),
  flags: u8,
  clusterId: u16,
  zone: u8,
  pad: padding(1),
});

const lb4ReverseNat = struct("lb4_reverse_nat", { address: ipv4, port });

/** Frontends and their slots. The agent writes, bpf_lxc reads. */
export const lb4ServicesMap = defineMap<Lb4Key, Lb4Service>({
  name: "cilium_lb4_services_v2",
  type: MapType.hash,
  maxEntries: 65536,
  flags: 1,
  key: lb4Key,
  value: lb4Service,
  formatKey: (key) =>
    `${key.address}:${key.port}` +
    (key.protocol === 0 ? "" : `/${protocolName(key.protocol)}`) +
    (key.scope === 1 ? "/i" : "") +
    (key.slot === 0 ? "" : ` (${key.slot})`),
  formatValue: (service) =>
    `${service.backendId} ${service.count} (${service.revNatIndex}) ` +
    `[0x${service.flags.toString(16)} 0x${service.flags2.toString(16)}]`,
});

/** Backends by id. The agent writes, bpf_lxc reads. */
export const lb4BackendsMap = defineMap<number, Lb4Backend>({
  name: "cilium_lb4_backends_v2",
  type: MapType.hash,
  maxEntries: 65536,
  flags: 1,
  key: u32,
  value: lb4Backend,
  formatKey: String,
  formatValue: (backend) => `${protocolName(backend.protocol)}://${backend.address}:${backend.port}`,
});

/** Reverse-NAT index to frontend. The agent writes, bpf_lxc reads. */
export const lb4ReverseNatMap = defineMap<number, Lb4ReverseNat>({
  name: "cilium_lb4_reverse_nat",
  type: MapType.hash,
  maxEntries: 65536,
  flags: 1,
  key: u16,
  value: lb4ReverseNat,
  formatKey: String,
  formatValue: (frontend) => `${frontend.address}:${frontend.port}`,
});
