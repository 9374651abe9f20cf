import { Health, Lifecycle, Log, module, provide } from "../../hive/index.ts";
import { DatapathToken, GlobalMapsToken } from "../datapath/index.ts";
import { PluginMapsToken, PluginTable } from "../plugin-table/index.ts";
import { State } from "../state/index.ts";
import type { ChainRecord } from "./attached.ts";
import { ChainBuilder } from "./builder.ts";
import { CounterSlots } from "./counters.ts";
import { IdleHooks } from "./idle-hooks.ts";
import { PluginInstances } from "./instances.ts";
import { TailCallLinker } from "./linker.ts";
import { HookLinking } from "./tokens.ts";
import { TrialLoader } from "./trial.ts";

/** Chains of plugins between the stages of the datapath. */
export const hookLinkerCell = module(
  "hook-linker",
  "Plugin chains between the stages of the datapath",
  provide(
    HookLinking,
    {
      datapath: DatapathToken,
      globals: GlobalMapsToken,
      plugins: PluginTable,
      maps: PluginMapsToken,
      state: State,
      lifecycle: Lifecycle,
      health: Health,
      log: Log,
    },
    ({ datapath, globals, plugins, maps, state, lifecycle, health, log }) => {
      const counters = new CounterSlots({
        ranks: state.collection<number>("hook-ranks"),
        blocks: state.collection<number>("hook-blocks"),
      });
      const idle = new IdleHooks();
      const instances = new PluginInstances(datapath, globals, maps);
      const linker = new TailCallLinker({
        datapath,
        globals,
        plugins,
        records: state.collection<readonly ChainRecord[]>("chains"),
        counters,
        idle,
        builder: new ChainBuilder(datapath, globals, instances, counters),
        log,
        trial: new TrialLoader(datapath, instances),
        onChange: (skipped) => {
          if (skipped.length === 0) health.ok("all chains are linked as planned");
          else health.degraded(`best-effort plugins left out: ${skipped.join(", ")}`);
        },
      });
      lifecycle.append({
        name: "hook counters",
        start: () => {
          counters.open(globals.typed("waggle_hook_stats"));
          idle.open(globals.typed("waggle_idle_hooks"));
        },
        stop: () => linker.close(),
      });
      return linker;
    },
  ),
);
