import type { BpfMap } from "../../datapath/index.ts";
import { ENDPOINT_F_HOST, type LxcEntry, type LxcKey } from "../../datapath/maps/index.ts";
import type { ReconcilerOps } from "../../table/index.ts";
import { ReservedIdentity } from "../identity/types.ts";
import type { NodeConfig } from "../node-config/index.ts";
import type { Endpoint } from "./types.ts";

/** A row of cilium_lxc: a local address and where its packets go. */
export interface LocalAddress {
  readonly address: string;
  readonly entry: LxcEntry;
}

const noMac = "00:00:00:00:00:00";

/** The row for a pod. */
export function endpointAddress(endpoint: Endpoint): LocalAddress {
  const { ipv4, ifindex, id, mac, nodeMac, identity } = endpoint;
  return {
    address: ipv4,
    entry: { ifindex, lxcId: id, flags: 0, mac, nodeMac, secId: identity, parentIfindex: 0 },
  };
}

/** Rows for the node's own addresses: packets for them go up the stack. */
export function hostAddresses(node: NodeConfig): readonly LocalAddress[] {
  const addresses = new Set([
    node.routerIpv4,
    ...node.host.ipv4,
    ...node.devices.flatMap(({ ipv4 }) => ipv4),
  ]);
  return [...addresses].map((address) => ({
    address,
    entry: {
      ifindex: 0,
      lxcId: 0,
      flags: ENDPOINT_F_HOST,
      mac: noMac,
      nodeMac: noMac,
      secId: ReservedIdentity.host,
      parentIfindex: 0,
    },
  }));
}

/** Brings cilium_lxc in line with the table of local addresses. */
export function lxcMapOps(map: () => BpfMap<LxcKey, LxcEntry>): ReconcilerOps<LocalAddress> {
  return {
    update: async (rows) => {
      await map().updateBatch(rows.map(({ address, entry }) => [{ address }, entry] as const));
      return rows.map(() => undefined);
    },
    delete: async (rows) => {
      await map().deleteBatch(rows.map(({ address }) => ({ address })));
      return rows.map(() => undefined);
    },
    prune: async (wanted) => {
      const keep = new Set(Array.from(wanted, ({ address }) => address));
      const stale = (await map().entries()).map(([key]) => key).filter(({ address }) => !keep.has(address));
      await map().deleteBatch(stale);
      return { removed: stale.length };
    },
  };
}
