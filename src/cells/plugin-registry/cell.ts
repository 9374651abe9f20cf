import { join, resolve } from "node:path";
import { bundle, Health, Lifecycle, Log, module, provide } from "../../hive/index.ts";
import { Database, type TableDef } from "../../table/index.ts";
import { DatapathConfig, DatapathToken, GlobalMapsToken } from "../datapath/index.ts";
import { HookLinking } from "../hook-linker/index.ts";
import { State } from "../state/index.ts";
import { PluginBuilder } from "./build.ts";
import { PinnedPluginMaps } from "./maps.ts";
import { type StoredPlugin, StoredPluginRegistry } from "./registry.ts";
import { PluginMapsToken, Plugins, PluginTable, WritablePluginTable } from "./tokens.ts";
import type { Plugin } from "./types.ts";

const pluginTable: TableDef<Plugin, string> = { name: "plugins", key: ({ name }) => name };

/** The table of plugins and their maps, which the hook linker reads; without the registry that fills it. */
export const pluginTableCell = bundle(
  provide(WritablePluginTable, {}, () => new Database().createTable(pluginTable)),
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
);

/** Registered plugins: validated, compiled, stored, and linked through the hook linker. */
export const pluginRegistryCell = module(
  "plugin-registry",
  "Registered plugins and their templates",
  pluginTableCell,
  provide(
    Plugins,
    {
      datapath: DatapathToken,
      config: DatapathConfig,
      table: WritablePluginTable,
      maps: PluginMapsToken,
      linker: HookLinking,
      state: State,
      lifecycle: Lifecycle,
      health: Health,
      log: Log,
    },
    ({ datapath, config, table, maps, linker, state, lifecycle, health, log }) => {
      const registry = new StoredPluginRegistry({
        datapath,
        table,
        maps,
        linker,
        health,
        log,
        stored: state.collection<StoredPlugin>("plugins"),
        builder: new PluginBuilder(datapath, join(resolve(config.bpfSource), "include")),
      });
      lifecycle.append({ name: "registered plugins", start: () => registry.restore() });
      return registry;
    },
  ),
);
