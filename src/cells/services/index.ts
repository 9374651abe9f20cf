export { Services, servicesCell } from "./cell.ts";
export { backendKey, frontendKey } from "./row.ts";
export type * from "./types.ts";
