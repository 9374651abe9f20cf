import { setTimeout as sleep } from "node:timers/promises";
import { familyOf } from "../../datapath/address.ts";
import type { BpfMap, NetOps, UdpSocket } from "../../datapath/index.ts";
import {
  type LbBackend,
  type LbKey,
  type LbReverseNat,
  type LbReverseSk,
  type LbReverseSkKey,
  type LbService,
  Protocol,
} from "../../datapath/maps/index.ts";
import type { GlobalMaps } from "../datapath/index.ts";

interface FamilyMaps {
  readonly services: BpfMap<LbKey, LbService>;
  readonly backends: BpfMap<number, LbBackend>;
  readonly reverseNat: BpfMap<number, LbReverseNat>;
  readonly reverseSk: BpfMap<LbReverseSkKey, LbReverseSk>;
}

/** Slots are changed one after another: what looks wrong is looked at again after this. */
const settleMs = 250;

/**
 * Connected sockets of UDP whose backend serves no more. A connection to a service is made once, so nothing would lead
 * such a socket elsewhere: it is ended, its owner is told so, and asks anew.
 */
export class StaleFlows {
  readonly #net: NetOps;
  readonly #maps: Readonly<Record<4 | 6, FamilyMaps>>;

  constructor(net: NetOps, globals: GlobalMaps) {
    this.#net = net;
    this.#maps = {
      4: {
        services: globals.typed("cilium_lb4_services_v2"),
        backends: globals.typed("cilium_lb4_backends_v2"),
        reverseNat: globals.typed("cilium_lb4_reverse_nat"),
        reverseSk: globals.typed("cilium_lb4_reverse_sk"),
      },
      6: {
        services: globals.typed("cilium_lb6_services_v2"),
        backends: globals.typed("cilium_lb6_backends_v3"),
        reverseNat: globals.typed("cilium_lb6_reverse_nat"),
        reverseSk: globals.typed("cilium_lb6_reverse_sk"),
      },
    };
  }

  /** Ends them. Resolves to how many there were. @throws DatapathError */
  async end(): Promise<number> {
    const suspects = (await this.#net.connectedUdpSockets()).filter((socket) => this.#isStale(socket));
    if (suspects.length === 0) return 0;
    await sleep(settleMs);
    const stale = suspects.filter((socket) => this.#isStale(socket));
    const ended = await Promise.all(stale.map((socket) => this.#net.abortUdpSocket(socket)));
    return ended.filter(Boolean).length;
  }

  #isStale({ cookie, remoteAddress: address, remotePort: port }: UdpSocket): boolean {
    const maps = this.#maps[familyOf(address)];
    const asked = maps.reverseSk.lookup({ cookie, address, port });
    return asked !== undefined && !serves(maps, asked.revNatIndex, address, port);
  }
}

/** Does a slot of the frontend, quarantined ones included, name a backend with this address? */
function serves(maps: FamilyMaps, revNatIndex: number, address: string, port: number): boolean {
  const frontend = maps.reverseNat.lookup(revNatIndex);
  if (frontend === undefined) return false;
  const key = { ...frontend, protocol: Protocol.udp, scope: 0 };
  const service = maps.services.lookup({ ...key, slot: 0 });
  if (service === undefined) return false;
  for (let slot = 1; slot <= service.count + service.qcount; slot++) {
    const named = maps.services.lookup({ ...key, slot });
    const backend = named === undefined ? undefined : maps.backends.lookup(named.backendId);
    if (backend?.address === address && backend.port === port) return true;
  }
  return false;
}
