import { Lifecycle, module, provide } from "../../hive/index.ts";
import { Database } from "../../table/index.ts";
import { DatapathToken, GlobalMapsToken } from "../datapath/index.ts";
import { PinnedPluginMaps } from "./maps.ts";
import { SharedPluginRecords } from "./records.ts";
import { PluginMapsToken, PluginRecordsToken, PluginTable, WritablePluginTable } from "./tokens.ts";
import type { Plugin } from "./types.ts";

/** Each reader is a subscriber of one shared buffer, and costs what it keeps. */
const maxReadersOfMap = 32;

/** The table of plugins and their maps: written by the plugin registry, read by the hook linker. */
export const pluginTableCell = module(
  "plugin-table",
  "Desired plugins, and the maps they keep state in",
  provide(WritablePluginTable, {}, () =>
    new Database().createTable<Plugin, string>({ name: "plugins", key: ({ name }) => name }),
  ),
  provide(PluginTable, { table: WritablePluginTable }, ({ table }) => table),
  provide(
    PluginMapsToken,
    { datapath: DatapathToken, globals: GlobalMapsToken, lifecycle: Lifecycle },
    ({ datapath, globals, lifecycle }) => {
      const maps = new PinnedPluginMaps(datapath, globals);
      lifecycle.append({ name: "plugin maps", stop: () => maps.close() });
      return maps;
    },
  ),
  provide(
    PluginRecordsToken,
    { datapath: DatapathToken, table: PluginTable, maps: PluginMapsToken, lifecycle: Lifecycle },
    ({ datapath, table, maps, lifecycle }) => {
      const records = new SharedPluginRecords({
        bpf: datapath.bpf,
        table,
        maps,
        maxReaders: maxReadersOfMap,
      });
      lifecycle.append({ name: "plugin records", start: () => records.start(), stop: () => records.stop() });
      return records;
    },
  ),
);
