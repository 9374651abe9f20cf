import { token } from "../../hive/index.ts";
import type { RWTable, Table } from "../../table/index.ts";
import type { PluginMaps } from "./maps.ts";
import type { Plugin, PluginRecords } from "./types.ts";

/** The registered plugins, for readers. */
export const PluginTable = token<Table<Plugin, string>>("PluginTable");
/** The same table for the plugin registry alone. */
export const WritablePluginTable = token<RWTable<Plugin, string>>("WritablePluginTable");
/** The maps that plugins keep state in. */
export const PluginMapsToken = token<PluginMaps>("PluginMaps");
/** What plugins report through ring buffers and perf event arrays. Usable once the plugin-table cell has started. */
export const PluginRecordsToken = token<PluginRecords>("PluginRecords");
