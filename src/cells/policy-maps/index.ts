export { Policies, policyMapsCell } from "./cell.ts";
export { entriesFor } from "./rules.ts";
export type * from "./types.ts";
