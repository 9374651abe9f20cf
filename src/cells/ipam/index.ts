export { ipamCell, NodeIpam } from "./cell.ts";
export { PodIpam, type PodNetworks } from "./ipam.ts";
export type * from "./types.ts";
