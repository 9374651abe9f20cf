import { notFound } from "../../cells/errors.ts";
import { podPrograms } from "../../cells/hook-linker/index.ts";
import type { HookLinker } from "../../cells/hook-linker/types.ts";
import type { Loader } from "../../cells/loader/types.ts";
import type { Plugin, PluginRegistry } from "../../cells/plugin-registry/types.ts";
import type { PluginRecords } from "../../cells/plugin-table/types.ts";
import { PluginServiceService } from "../../gen/waggle/v1/plugin.ts";
import { registration, type ServiceRegistration } from "../registration.ts";
import { type ApiRuntime, readPage, takePage, watchTable } from "../runtime/index.ts";
import {
  chainToMessage,
  checkPluginConfig,
  checkPriority,
  countersToMessage,
  pluginToMessage,
  sumCounters,
} from "../translate/plugin.ts";
import {
  checkAbsolutePath,
  checkAttachmentName,
  checkCName,
  checkCount,
  checkPluginName,
} from "../validate/fields.ts";
import { validated } from "../validate/violations.ts";
import { pluginMapHandlers } from "./plugin-maps.ts";
import { pluginRecordHandlers } from "./plugin-records.ts";

/** What {@link pluginService} delegates to. */
export interface PluginServiceDeps {
  readonly plugins: PluginRegistry;
  readonly hooks: Pick<HookLinker, "plan" | "chains" | "counters">;
  readonly records: PluginRecords;
  readonly loader: Pick<Loader, "attachments">;
}

/** Plugins named in one PlanChains. */
const MAX_PLANNED = 256;

/** waggle.v1.PluginService. */
export function pluginService(
  { plugins, hooks, records, loader }: PluginServiceDeps,
  runtime: ApiRuntime,
): ServiceRegistration {
  const checkName = (name: string): void =>
    validated((violations) => checkPluginName("name", name, violations));
  const find = (name: string): Plugin => {
    const plugin = plugins.table.get(name);
    if (plugin === undefined) throw notFound("plugin", name);
    return plugin;
  };

  /** The chains of all pods are there before the first one, and each pod goes by its own name, too. */
  const checkAttached = (attachment: string): void => {
    if (attachment === podPrograms || loader.attachments().some(({ name }) => name === attachment)) return;
    throw notFound("attachment", attachment);
  };

  return registration(PluginServiceService, runtime, {
    async registerPlugin({ directory, enable, priority, config, replaceMaps }, { signal }) {
      validated((violations) => {
        checkAbsolutePath("directory", directory, violations);
        checkPriority("priority", priority, violations);
        checkPluginConfig("config", config, violations);
      });
      const options = { enable, config, replaceMaps, ...(priority === undefined ? {} : { priority }) };
      return { plugin: pluginToMessage(await plugins.register(directory, options, signal)) };
    },

    async enablePlugin({ name }, { signal }) {
      checkName(name);
      return { plugin: pluginToMessage(await plugins.enable(name, signal)) };
    },

    async disablePlugin({ name }, { signal }) {
      checkName(name);
      return { plugin: pluginToMessage(await plugins.disable(name, signal)) };
    },

    async configurePlugin({ name, priority, config }, { signal }) {
      const some = Object.keys(config).length > 0;
      validated((violations) => {
        checkPluginName("name", name, violations);
        checkPriority("priority", priority, violations);
        checkPluginConfig("config", config, violations);
        if (priority === undefined && !some) {
          violations.add("config", "nothing to change: set priority, config or both");
        }
      });
      const change = { ...(priority === undefined ? {} : { priority }), ...(some ? { config } : {}) };
      return { plugin: pluginToMessage(await plugins.configure(name, change, signal)) };
    },

    async unregisterPlugin({ name }, { signal }) {
      checkName(name);
      await plugins.unregister(name, signal);
      return {};
    },

    getPlugin({ name }) {
      checkName(name);
      return { plugin: pluginToMessage(find(name)) };
    },

    listPlugins(request) {
      const page = validated((violations) => readPage(request, "plugins", violations));
      const { items, nextPageToken } = takePage(plugins.table.list(), ({ name }) => name, page);
      return { plugins: items.map(pluginToMessage), nextPageToken };
    },

    watchPlugins(_request, context, out) {
      return watchTable(plugins.table, pluginToMessage, context, out, runtime);
    },

    getChain({ attachment, hook }) {
      validated((violations) => {
        checkAttachmentName("attachment", attachment, violations);
        checkCName("hook", hook, violations);
      });
      checkAttached(attachment);
      const chain = hooks.chains(attachment).find((one) => one.hook === hook);
      if (chain === undefined) throw notFound(`chain at ${attachment},`, hook);
      return { chain: chainToMessage(chain) };
    },

    listChains(request) {
      const { attachment, hook, plugin } = request;
      const page = validated((violations) => {
        if (attachment !== "") checkAttachmentName("attachment", attachment, violations);
        if (hook !== "") checkCName("hook", hook, violations);
        if (plugin !== "") checkPluginName("plugin", plugin, violations);
        return readPage(request, `chains ${attachment} ${hook} ${plugin}`, violations);
      });
      if (attachment !== "") checkAttached(attachment);
      const chains = hooks
        .chains(attachment || undefined)
        .filter((chain) => hook === "" || chain.hook === hook)
        .filter((chain) => plugin === "" || chain.links.some((link) => link.plugin === plugin));
      const { items, nextPageToken } = takePage(chains, (chain) => `${chain.attachment} ${chain.hook}`, page);
      return { chains: items.map(chainToMessage), nextPageToken };
    },

    planChains({ enable, disable, priorities }) {
      validated((violations) => {
        checkCount("enable", enable.length, 0, MAX_PLANNED, violations);
        checkCount("disable", disable.length, 0, MAX_PLANNED, violations);
        checkCount("priorities", Object.keys(priorities).length, 0, MAX_PLANNED, violations);
        for (const [index, name] of disable.entries()) {
          if (enable.includes(name)) violations.add(`disable[${index}]`, `${name} is in enable, too`);
        }
        for (const [name, priority] of Object.entries(priorities)) {
          checkPriority(`priorities[${JSON.stringify(name)}]`, priority, violations);
        }
      });
      for (const name of [...enable, ...disable, ...Object.keys(priorities)]) find(name);
      const assumed = plugins.table
        .list()
        .map((plugin) => ({
          ...plugin,
          enabled: (plugin.enabled || enable.includes(plugin.name)) && !disable.includes(plugin.name),
          priority: priorities[plugin.name] ?? plugin.priority,
        }))
        .filter((plugin) => plugin.enabled);
      const { order, unresolved } = hooks.plan(assumed);
      const chains = [...order]
        .map(([hook, names]) => ({
          hook,
          plugins: [...names],
          unresolved: [...(unresolved.get(hook) ?? [])],
        }))
        .filter((chain) => chain.plugins.length > 0)
        .sort((left, right) => (left.hook < right.hook ? -1 : 1));
      return { chains };
    },

    async getPluginStats({ name, attachment }) {
      validated((violations) => {
        checkPluginName("name", name, violations);
        if (attachment !== "") checkAttachmentName("attachment", attachment, violations);
      });
      find(name);
      const filter = { plugin: name, ...(attachment === "" ? {} : { attachment }) };
      const counters = await hooks.counters(filter);
      return { total: sumCounters(name, counters), counters: counters.map(countersToMessage) };
    },

    ...pluginMapHandlers(plugins, find),
    ...pluginRecordHandlers(records, runtime),
  });
}
