import { MapType } from "../types.ts";
import { defineMap } from "./definition.ts";
import { familyMember, unionAddress, unionBytes } from "./family.ts";
import { bytes, mac, named, padding, struct, transform, u8, u16, u32 } from "./layout.ts";
import { hex } from "./names.ts";

/** Flag of an address of the node itself rather than of a pod. */
export const ENDPOINT_F_HOST = 1;

/** Key of `cilium_lxc`: a local address of either family. */
export interface LxcKey {
  readonly address: string;
}

/** Value of `cilium_lxc`: where packets for a local address go. */
export interface LxcEntry {
  /** Host-side device of the pod; 0 for addresses of the node. */
  readonly ifindex: number;
  /** Endpoint id, index into `waggle_endpoints`; 0 for addresses of the node. */
  readonly lxcId: number;
  /** ENDPOINT_F_*. */
  readonly flags: number;
  /** MAC of the pod's interface. */
  readonly mac: string;
  /** MAC of the host-side device. */
  readonly nodeMac: string;
  readonly secId: number;
  /** Device the pod's packets leave by; 0 unless the pod is bound to one. */
  readonly parentIfindex: number;
}

const lxcKey = transform(
  struct("endpoint_key", { address: named("addr", bytes(16)), family: u8, key: u8, clusterId: u16 }),
  ({ address }: LxcKey) => ({
    address: unionBytes(address),
    family: familyMember(address),
    key: 0,
    clusterId: 0,
  }),
  ({ address, family }) => ({ address: unionAddress(address, family) }),
);

const lxcEntry = struct("endpoint_info", {
  ifindex: u32,
  unused: padding(2),
  lxcId: u16,
  flags: u32,
  pad: padding(4),
  mac,
  nodeMac: mac,
  secId: u32,
  parentIfindex: u32,
  pad2: padding(8),
});

/** Local addresses: pods of this node and the node itself. The agent writes, all programs read. */
export const lxcMap = defineMap<LxcKey, LxcEntry>({
  name: "cilium_lxc",
  type: MapType.hash,
  maxEntries: 65535,
  flags: 1,
  key: lxcKey,
  value: lxcEntry,
  formatKey: (key) => `${key.address}:0`,
  formatValue: (entry) =>
    (entry.flags & ENDPOINT_F_HOST) !== 0
      ? "(localhost)"
      : `id=${entry.lxcId} flags=${hex(entry.flags, 4)} ifindex=${entry.ifindex} ` +
        `mac=${entry.mac.toUpperCase()} nodemac=${entry.nodeMac.toUpperCase()}`,
});
