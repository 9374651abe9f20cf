import { existsSync } from "node:fs";
import { Mutex } from "async-mutex";
import { bootMoment, type Datapath, layoutDifference, type RawMap } from "../../datapath/index.ts";
import type { HealthScope, Logger } from "../../hive/index.ts";
import type { RWTable } from "../../table/index.ts";
import { failedPrecondition, notFound, RefusalError } from "../errors.ts";
import type { HookLinker } from "../hook-linker/index.ts";
import type { PluginMaps } from "../plugin-table/index.ts";
import type { StateCollection } from "../state/index.ts";
import type { BuiltPlugin, PluginBuilder } from "./build.ts";
import { checkPriority, resolveConfig } from "./config.ts";
import type { Plugin, PluginRegistry } from "./types.ts";

/** What is kept on disk: the row, and what the operator set apart from the manifest. */
export interface StoredPlugin {
  readonly plugin: Plugin;
  readonly priority: number | undefined;
  readonly config: Readonly<Record<string, string>>;
  /** Digest of the headers that the templates were compiled with; undefined from agents that did not note it. */
  readonly headers?: string | undefined;
  /** Boot in which the row's `readsOnly` was found out: another kernel may come with another one. */
  readonly boot?: string | undefined;
}

/** What the registry works with. */
export interface RegistryParts {
  readonly datapath: Datapath;
  readonly table: RWTable<Plugin, string>;
  readonly stored: StateCollection<StoredPlugin>;
  readonly builder: PluginBuilder;
  readonly maps: PluginMaps;
  readonly linker: HookLinker;
  readonly health: HealthScope;
  readonly log: Logger;
}

/** The registry on disk, in the table and, through the linker, in the kernel. One change at a time. */
export class StoredPluginRegistry implements PluginRegistry {
  readonly #parts: RegistryParts;
  readonly #mutex = new Mutex();
  /** Plugins whose objects are lost, or of other headers, and whose sources do not build any more. */
  readonly #broken = new Set<string>();

  constructor(parts: RegistryParts) {
    this.#parts = parts;
  }

  get table(): RWTable<Plugin, string> {
    return this.#parts.table;
  }

  /**
   * Puts what is on disk into the table, recompiles where the cache has lost the objects or this agent's headers are
   * others, and takes away what an agent that died while unregistering left of plugins nobody knows any more.
   */
  async restore(): Promise<void> {
    const { builder, stored, linker, maps } = this.#parts;
    const all = stored.all();
    const headers = all.length === 0 ? "" : await builder.headers();
    for (const { value } of all) this.table.upsert(await this.#restored(value, headers));
    const known = new Set(this.table.list().map(({ name }) => name));
    for (const name of maps.plugins()) if (!known.has(name)) maps.remove(name);
    await linker.keepCounters(known);
    this.#report();
  }

  async #restored(value: StoredPlugin, headers: string): Promise<Plugin> {
    const { plugin } = value;
    const { datapath, builder, log, stored } = this.#parts;
    const objects = Object.values(plugin.templates).map(({ object }) => object);
    const current = value.headers === headers && objects.every((object) => existsSync(object));
    const judged = value.boot === bootMoment().boot;
    if (datapath.kind === "kernel" && current && judged) return plugin;
    try {
      let next = value;
      if (datapath.kind !== "kernel" || !current) {
        const built = await builder.build(plugin.directory);
        const config = keepKnown(value.config, built);
        next = this.#compose(built, plugin, { ...value, config, headers, enabled: plugin.enabled });
      }
      next = await this.#judgedIfLoadable(next);
      await stored.put(plugin.name, next);
      return next.plugin;
    } catch (error) {
      // It stays enabled: what is linked keeps running, and new endpoints are refused rather than left without it.
      log.error({ plugin: plugin.name, err: error }, "plugin cannot be rebuilt");
      this.#broken.add(plugin.name);
      return judged ? plugin : { ...plugin, readsOnly: [] };
    }
  }

  /** With what the plugin is found to leave alone. @throws RefusalError when it does not load */
  async #judged(stored: StoredPlugin): Promise<StoredPlugin> {
    const readsOnly = await this.#parts.linker.tryLoad(stored.plugin);
    return { ...stored, boot: bootMoment().boot, plugin: { ...stored.plugin, readsOnly } };
  }

  /** The same where what does not load is told, or left out, when it is linked: until then it may do anything. */
  async #judgedIfLoadable(stored: StoredPlugin): Promise<StoredPlugin> {
    try {
      return await this.#judged(stored);
    } catch (error) {
      if (!(error instanceof RefusalError)) throw error;
      this.#parts.log.warn({ plugin: stored.plugin.name, err: error }, "plugin does not load");
      return { ...stored, boot: undefined, plugin: { ...stored.plugin, readsOnly: [] } };
    }
  }

  register(
    directory: string,
    options: Parameters<PluginRegistry["register"]>[1],
    signal?: AbortSignal,
  ): Promise<Plugin> {
    return this.#mutex.runExclusive(async () => {
      signal?.throwIfAborted();
      if (options.priority !== undefined) checkPriority(options.priority);
      // Before: should they change meanwhile, the next start compiles again.
      const headers = await this.#parts.builder.headers();
      const built = await this.#parts.builder.build(directory);
      const { name } = built.manifest;
      const before = this.table.get(name);
      if (before !== undefined && before.directory !== directory) {
        throw new RefusalError(
          "ALREADY_EXISTS",
          `plugin ${name} is registered from ${before.directory}; unregister it first, or rename one of them`,
        );
      }
      const known = this.#parts.stored.get(name);
      const composed = this.#compose(built, before, {
        priority: options.priority ?? known?.priority,
        config: { ...keepKnown(known?.config ?? {}, built), ...options.config },
        enabled: options.enable === true || before?.enabled === true,
        headers,
      });
      const stored = await this.#judged(composed);
      signal?.throwIfAborted();
      const replacement = this.#replaceMaps(stored.plugin, options.replaceMaps ?? false);
      try {
        await this.#put(stored);
      } catch (error) {
        // Once stored the new version is the one that is wanted, and with it the new maps.
        if (this.table.get(name) === stored.plugin) replacement.commit();
        else replacement.rollback();
        throw error;
      }
      replacement.commit();
      this.#broken.delete(name);
      this.#report();
      return stored.plugin;
    });
  }

  enable(name: string, signal?: AbortSignal): Promise<Plugin> {
    return this.#change(name, signal, (stored) => ({
      ...stored,
      plugin: { ...stored.plugin, enabled: true },
    }));
  }

  disable(name: string, signal?: AbortSignal): Promise<Plugin> {
    return this.#change(name, signal, (stored) => ({
      ...stored,
      plugin: { ...stored.plugin, enabled: false },
    }));
  }

  configure(
    name: string,
    change: Parameters<PluginRegistry["configure"]>[1],
    signal?: AbortSignal,
  ): Promise<Plugin> {
    if (change.priority !== undefined) checkPriority(change.priority);
    return this.#change(name, signal, async (stored) => {
      const { plugin, priority, config } = stored;
      const next = this.#compose(plugin, plugin, {
        ...stored,
        priority: change.priority ?? priority,
        config: { ...config, ...change.config },
        enabled: plugin.enabled,
      });
      // Other values are other programs to the verifier.
      return Object.keys(change.config ?? {}).length === 0
        ? { ...next, plugin: { ...next.plugin, readsOnly: plugin.readsOnly } }
        : this.#judgedIfLoadable(next);
    });
  }

  unregister(name: string, signal?: AbortSignal): Promise<void> {
    return this.#mutex.runExclusive(async () => {
      signal?.throwIfAborted();
      if (this.table.get(name) === undefined) throw notFound("plugin", name);
      const rest = this.table.list().filter((plugin) => plugin.name !== name);
      await this.#parts.linker.apply(rest, async () => {
        await this.#parts.stored.delete(name);
        this.table.delete(name);
      });
      await this.#parts.linker.forgetCounters(name);
      this.#parts.maps.remove(name);
      this.#broken.delete(name);
      this.#report();
    });
  }

  openMaps(plugin: Plugin): Readonly<Record<string, RawMap>> {
    return this.#parts.maps.open(plugin);
  }

  #change(
    name: string,
    signal: AbortSignal | undefined,
    change: (stored: StoredPlugin) => StoredPlugin | Promise<StoredPlugin>,
  ): Promise<Plugin> {
    return this.#mutex.runExclusive(async () => {
      signal?.throwIfAborted();
      const stored = this.#parts.stored.get(name);
      const plugin = this.table.get(name);
      if (stored === undefined || plugin === undefined) throw notFound("plugin", name);
      const next = await change({ ...stored, plugin });
      signal?.throwIfAborted();
      const bumped = { ...next, plugin: { ...next.plugin, revision: plugin.revision + 1 } };
      await this.#put(bumped);
      return bumped.plugin;
    });
  }

  #compose(
    built: BuiltPlugin,
    before: Plugin | undefined,
    set: Omit<StoredPlugin, "plugin"> & { readonly enabled: boolean },
  ): StoredPlugin {
    const { directory, manifest, templates, maps } = built;
    return {
      priority: set.priority,
      config: set.config,
      headers: set.headers,
      boot: set.boot,
      plugin: {
        name: manifest.name,
        directory,
        manifest,
        templates,
        maps,
        enabled: set.enabled,
        priority: set.priority ?? manifest.priority,
        config: resolveConfig(manifest.config, set.config),
        readsOnly: [],
        revision: (before?.revision ?? 0) + 1,
      },
    };
  }

  /** Links, and in between stores: a crash before the store changes nothing, one after it is finished at restart. */
  async #put(next: StoredPlugin): Promise<void> {
    const { plugin } = next;
    const others = this.table.list().filter(({ name }) => name !== plugin.name);
    await this.#parts.linker.apply([...others, plugin], async () => {
      await this.#parts.stored.put(plugin.name, next);
      this.table.upsert(plugin);
    });
  }

  #report(): void {
    const { health } = this.#parts;
    if (this.#broken.size === 0) health.ok(`${this.table.size} registered`);
    else health.degraded(`cannot be rebuilt from their directories: ${[...this.#broken].join(", ")}`);
  }

  /** Moves pinned maps of another layout out of the way, so that it can be undone; refuses unless told to. */
  #replaceMaps(plugin: Plugin, allowed: boolean): { commit(): void; rollback(): void } {
    const pinned = this.#parts.maps.pinned(plugin.name);
    const conflicts = plugin.maps.flatMap((spec) => {
      const old = pinned.get(spec.name);
      if (old === undefined) return [];
      const difference = layoutDifference(
        { ...spec, flags: spec.flags ?? 0 },
        { ...old.info, flags: old.info.flags },
      );
      return difference === "" ? [] : [{ name: spec.name, difference }];
    });
    for (const map of pinned.values()) map.close();
    if (conflicts.length > 0 && !allowed) {
      throw failedPrecondition(
        `plugin ${plugin.name} changes the layout of its maps (${conflicts
          .map(({ name, difference }) => `${name}: ${difference}`)
          .join("; ")}); the old ones are kept. Register with replace_maps to drop their content`,
      );
    }
    return this.#parts.maps.setAside(
      plugin.name,
      conflicts.map(({ name }) => name),
    );
  }
}

/** Values for fields that the new version still has. */
function keepKnown(
  values: Readonly<Record<string, string>>,
  { manifest }: BuiltPlugin,
): Record<string, string> {
  const known = new Set(manifest.config.map(({ name }) => name));
  return Object.fromEntries(Object.entries(values).filter(([name]) => known.has(name)));
}
