export { nodesCell } from "./cell.ts";
export { Nodes } from "./tokens.ts";
export type * from "./types.ts";
