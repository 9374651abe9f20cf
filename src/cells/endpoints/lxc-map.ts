import type { BpfMap } from "../../datapath/index.ts";
import { ENDPOINT_F_HOST, type LxcEntry, type LxcKey } from "../../datapath/maps/index.ts";
import type { ReconcilerOps } from "../../table/index.ts";
import { ReservedIdentity } from "../identity/types.ts";
import { type NodeConfig, nodeAddresses } from "../node-config/index.ts";
import type { Endpoint } from "./types.ts";

/** A row of cilium_lxc: a local address and where its packets go. */
export interface LocalAddress {
  readonly address: string;
  readonly entry: LxcEntry;
}

const noMac = "00:00:00:00:00:00";

/** The addresses that a pod has. */
export const addressesOf = ({ ipv4, ipv6 }: Endpoint): readonly string[] =>
  ipv6 === "" ? [ipv4] : [ipv4, ipv6];

/** The rows for a pod. */
export function endpointAddresses(endpoint: Endpoint): readonly LocalAddress[] {
  const { ifindex, id, mac, nodeMac, identity } = endpoint;
  const entry = { ifindex, lxcId: id, flags: 0, mac, nodeMac, secId: identity, parentIfindex: 0 };
  return addressesOf(endpoint).map((address) => ({ address, entry }));
}

/** Rows for the node's own addresses: packets for them go up the stack. */
export function hostAddresses(node: NodeConfig): readonly LocalAddress[] {
  return nodeAddresses(node).map((address) => ({
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

/** True for a row of `hostAddresses`. */
export const isHostAddress = ({ entry }: LocalAddress): boolean => (entry.flags & ENDPOINT_F_HOST) !== 0;

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
