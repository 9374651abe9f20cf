import type { BpfMap } from "../../datapath/index.ts";
import {
  type LbAffinityMatch,
  LbAlgorithm,
  type LbBackend,
  LbBackendState,
  type LbKey,
  type LbReverseNat,
  type LbService,
  LbServiceFlag,
  type MaglevTable,
  Protocol,
  packFrontend,
} from "../../datapath/maps/index.ts";
import type { GlobalMaps } from "../datapath/index.ts";
import type { NumberedBackend } from "./backend.ts";
import type { Family } from "./keys.ts";
import type { FrontendRow } from "./rows.ts";
import type { Algorithm, BackendState, FrontendKind } from "./types.ts";

/** The maps of one family's services. */
export interface FamilyMaps {
  readonly services: BpfMap<LbKey, LbService>;
  readonly backends: BpfMap<number, LbBackend>;
  readonly reverseNat: BpfMap<number, LbReverseNat>;
}

/** The maps of service load balancing that the agent writes. */
export interface ServiceMaps extends Readonly<Record<Family, FamilyMaps>> {
  readonly affinityMatch: BpfMap<LbAffinityMatch, number>;
  readonly maglev: BpfMap<number, MaglevTable>;
}

export function serviceMaps(maps: GlobalMaps): ServiceMaps {
  return {
    4: {
      services: maps.typed<LbKey, LbService>("cilium_lb4_services_v2"),
      backends: maps.typed<number, LbBackend>("cilium_lb4_backends_v2"),
      reverseNat: maps.typed<number, LbReverseNat>("cilium_lb4_reverse_nat"),
    },
    6: {
      services: maps.typed<LbKey, LbService>("cilium_lb6_services_v2"),
      backends: maps.typed<number, LbBackend>("cilium_lb6_backends_v3"),
      reverseNat: maps.typed<number, LbReverseNat>("cilium_lb6_reverse_nat"),
    },
    affinityMatch: maps.typed<LbAffinityMatch, number>("cilium_lb_affinity_match"),
    maglev: maps.typed<number, MaglevTable>("waggle_lb_maglev"),
  };
}

/** Slot 0 is the frontend itself, 1 and up its backends. */
export function slotKey({ ip, port, protocol }: FrontendRow, slot: number): LbKey {
  return { address: ip, port, slot, protocol: Protocol[protocol], scope: 0 };
}

const kindFlags = {
  "cluster-ip": 0,
  "node-port": LbServiceFlag.nodePort,
  "external-ip": LbServiceFlag.externalIp,
} as const satisfies Record<FrontendKind, number>;

/** What the kernel does unasked is left unsaid, as in the field. */
const algorithms = {
  random: LbAlgorithm.unspecified,
  maglev: LbAlgorithm.maglev,
} as const satisfies Record<Algorithm, number>;

/** Value of slot 0. */
export function frontendValue(row: FrontendRow): LbService {
  return {
    backendId: packFrontend({
      affinityTimeoutS: row.affinityTimeoutS,
      algorithm: algorithms[row.algorithm],
    }),
    count: row.chosen.length,
    revNatIndex: row.revNat,
    flags: kindFlags[row.kind] | (row.affinityTimeoutS > 0 ? LbServiceFlag.sessionAffinity : 0),
    flags2: 0,
    qcount: row.quarantined.length,
  };
}

/** Backends in slots, in the order of these from 1. */
export const inSlots = (row: FrontendRow): readonly NumberedBackend[] =>
  row.quarantined.length === 0 ? row.chosen : [...row.chosen, ...row.quarantined];

/** Value of a slot from 1. */
export function slotValue(backendId: number, revNatIndex: number): LbService {
  return { backendId, count: 0, revNatIndex, flags: 0, flags2: 0, qcount: 0 };
}

export function backendValue({ ip, port, protocol }: NumberedBackend, state: BackendState): LbBackend {
  const flags = LbBackendState[state];
  return { address: ip, port, protocol: Protocol[protocol], flags, clusterId: 0, zone: 0 };
}

/** Those at which a client may be kept. */
export const affinityBackends = (row: FrontendRow): readonly NumberedBackend[] =>
  row.affinityTimeoutS > 0 ? row.chosen : [];

/** Whether the frontend has a table of Maglev's. */
export const hasMaglevTable = (row: FrontendRow): boolean =>
  row.algorithm === "maglev" && row.chosen.length > 0;

/** A key as text, for sets. */
export const slotText = ({ address, port, slot, protocol, scope }: LbKey): string =>
  `${address}:${port}/${protocol}/${scope}#${slot}`;
