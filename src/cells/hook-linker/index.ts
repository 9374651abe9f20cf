export { hookLinkerCell } from "./cell.ts";
export { CycleError } from "./order.ts";
export { HookLinking } from "./tokens.ts";
export type * from "./types.ts";
