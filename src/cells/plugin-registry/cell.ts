import { join, resolve } from "node:path";
import { Health, Lifecycle, Log, module, provide } from "../../hive/index.ts";
import { DatapathConfig, DatapathToken } from "../datapath/index.ts";
import { HookLinking } from "../hook-linker/index.ts";
import { PluginMapsToken, WritablePluginTable } from "../plugin-table/index.ts";
import { State } from "../state/index.ts";
import { PluginBuilder } from "./build.ts";
import { type StoredPlugin, StoredPluginRegistry } from "./registry.ts";
import { Plugins } from "./tokens.ts";

/** Registered plugins: validated, compiled, stored, and linked through the hook linker. */
export const pluginRegistryCell = module(
  "plugin-registry",
  "Registered plugins and their templates",
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
