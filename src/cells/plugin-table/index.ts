export { pluginTableCell } from "./cell.ts";
export { isPluginMap, type PluginMaps } from "./maps.ts";
export { PluginMapsToken, PluginTable, WritablePluginTable } from "./tokens.ts";
export type * from "./types.ts";
