export { pluginRegistryCell, pluginTableCell } from "./cell.ts";
export type { PluginMaps } from "./maps.ts";
export { PluginMapsToken, Plugins, PluginTable } from "./tokens.ts";
export type * from "./types.ts";
