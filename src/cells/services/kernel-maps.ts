import type { BpfMap } from "../../datapath/index.ts";
import {
  type Lb4Backend,
  type Lb4Key,
  type Lb4ReverseNat,
  type Lb4Service,
  Protocol,
} from "../../datapath/maps/index.ts";
import type { Backend, Service, ServiceProtocol } from "./types.ts";

/** The three maps of service load balancing. */
export interface ServiceMaps {
  readonly services: BpfMap<Lb4Key, Lb4Service>;
  readonly backends: BpfMap<number, Lb4Backend>;
  readonly reverseNat: BpfMap<number, Lb4ReverseNat>;
}

type Frontend = Pick<Service, "ipv4" | "port" | "protocol">;

/** IANA number of a service's protocol. */
const protocolNumber = (protocol: ServiceProtocol): number =>
  protocol === "tcp" ? Protocol.tcp : Protocol.udp;

/** Slot 0 is the frontend itself, 1 and up its backends. */
export function slotKey({ ipv4, port, protocol }: Frontend, slot: number): Lb4Key {
  return { address: ipv4, port, slot, protocol: protocolNumber(protocol), scope: 0 };
}

/** Value of slot 0. */
export function frontendValue(count: number, revNatIndex: number): Lb4Service {
  return { backendId: 0, count, revNatIndex, flags: 0, flags2: 0, qcount: 0 };
}

/** Value of a slot from 1. */
export function slotValue(backendId: number, revNatIndex: number): Lb4Service {
  return { backendId, count: 0, revNatIndex, flags: 0, flags2: 0, qcount: 0 };
}

export function backendValue({ ipv4, port }: Backend, protocol: ServiceProtocol): Lb4Backend {
  return { address: ipv4, port, protocol: protocolNumber(protocol), flags: 0, clusterId: 0, zone: 0 };
}

/** A key as text, for sets. */
export const slotText = ({ address, port, slot, protocol, scope }: Lb4Key): string =>
  `${address}:${port}/${protocol}/${scope}#${slot}`;
