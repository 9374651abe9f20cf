export { ipamCell, NodeIpam } from "./cell.ts";
export { PodIpam, type PodNetwork } from "./ipam.ts";
export type * from "./types.ts";
