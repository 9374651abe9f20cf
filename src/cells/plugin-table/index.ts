export { pluginTableCell } from "./cell.ts";
export { isPluginMap, type PluginMaps } from "./maps.ts";
export { holdsRecords } from "./records.ts";
export { PluginMapsToken, PluginRecordsToken, PluginTable, WritablePluginTable } from "./tokens.ts";
export type * from "./types.ts";
