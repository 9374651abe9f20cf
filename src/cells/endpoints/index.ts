export { Endpoints, endpointsCell } from "./cell.ts";
export type * from "./types.ts";
