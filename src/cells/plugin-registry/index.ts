export { pluginRegistryCell, pluginTableCell } from "./cell.ts";
export type { PluginMaps } from "./maps.ts";
export { PluginMapsToken, PluginTable, Plugins } from "./tokens.ts";
export type * from "./types.ts";
