export { pluginRegistryCell } from "./cell.ts";
export { Plugins } from "./tokens.ts";
export type * from "./types.ts";
