import { join } from "node:path";
import type { Datapath, MapSpec, RawMap } from "../../datapath/index.ts";
import { RESERVED_MAP_PREFIXES } from "../../datapath/pipeline.ts";
import type { GlobalMaps } from "../datapath/index.ts";
import type { Plugin } from "./types.ts";

/** The maps that plugins keep state in: pinned, shared by all instances, kept until the plugin is unregistered. */
export interface PluginMaps {
  /** Opens, or creates and pins, the plugin's maps; by C name. @throws MapLayoutError */
  open(plugin: Pick<Plugin, "name" | "maps">): Readonly<Record<string, RawMap>>;
  /** Closes and unpins all maps of the plugin. */
  remove(plugin: string): void;
  /** Names of all plugins that have a directory of pins. */
  plugins(): readonly string[];
  /** The maps found pinned for the plugin, by name, freshly opened. The caller closes them. */
  pinned(plugin: string): ReadonlyMap<string, RawMap>;
  /**
   * Takes the pins of these maps away, so that new ones of another layout can stand there. Programs that run
   * keep the old maps; `rollback` pins them again.
   */
  setAside(plugin: string, names: readonly string[]): { commit(): void; rollback(): void };
}

/** True for maps that belong to the plugin and not to the framework. */
export function isPluginMap({ name }: Pick<MapSpec, "name">): boolean {
  return !RESERVED_MAP_PREFIXES.some((prefix) => name.startsWith(prefix));
}

/** Plugin maps below the plugin's pin directory. */
export class PinnedPluginMaps implements PluginMaps {
  readonly #datapath: Datapath;
  readonly #globals: GlobalMaps;
  readonly #open = new Map<string, Map<string, RawMap>>();

  constructor(datapath: Datapath, globals: GlobalMaps) {
    this.#datapath = datapath;
    this.#globals = globals;
  }

  open({ name, maps }: Pick<Plugin, "name" | "maps">): Readonly<Record<string, RawMap>> {
    const handles = this.#open.get(name) ?? new Map<string, RawMap>();
    this.#open.set(name, handles);
    const directory = this.#globals.pins.plugin(name);
    if (maps.length > 0) this.#datapath.bpf.makePinDirectory(directory);
    const opened: Record<string, RawMap> = {};
    for (const spec of maps) {
      let map = handles.get(spec.name);
      if (map === undefined) {
        map = this.#datapath.bpf.ensurePinnedMap(spec, join(directory, spec.name));
        handles.set(spec.name, map);
      }
      opened[spec.name] = map;
    }
    return opened;
  }

  remove(plugin: string): void {
    for (const handle of this.#open.get(plugin)?.values() ?? []) handle.close();
    this.#open.delete(plugin);
    this.#datapath.bpf.unpin(this.#globals.pins.plugin(plugin), true);
  }

  plugins(): readonly string[] {
    return this.#datapath.bpf.listPins(this.#globals.pins.plugins);
  }

  pinned(plugin: string): ReadonlyMap<string, RawMap> {
    const directory = this.#globals.pins.plugin(plugin);
    const found = new Map<string, RawMap>();
    try {
      for (const name of this.#datapath.bpf.listPins(directory)) {
        const map = this.#datapath.bpf.openPinnedMap(join(directory, name));
        if (map !== undefined) found.set(name, map);
      }
      return found;
    } catch (error) {
      for (const map of found.values()) map.close();
      throw error;
    }
  }

  setAside(plugin: string, names: readonly string[]): { commit(): void; rollback(): void } {
    const { bpf } = this.#datapath;
    const directory = this.#globals.pins.plugin(plugin);
    const handles = this.#open.get(plugin);
    const aside: { readonly pin: string; readonly map: RawMap }[] = [];
    const forget = (name: string): void => {
      handles?.get(name)?.close();
      handles?.delete(name);
    };
    const rollback = (): void => {
      for (const name of names) forget(name);
      for (const { pin, map } of aside.splice(0)) {
        bpf.unpin(pin);
        map.pin(pin);
        map.close();
      }
    };
    try {
      for (const name of names) {
        const pin = join(directory, name);
        const map = bpf.openPinnedMap(pin);
        if (map === undefined) continue;
        aside.push({ pin, map });
        forget(name);
        bpf.unpin(pin);
      }
    } catch (error) {
      rollback();
      throw error;
    }
    return {
      commit: () => {
        for (const { map } of aside.splice(0)) map.close();
      },
      rollback,
    };
  }

  /** Closes every handle; the pins stay. */
  close(): void {
    for (const handles of this.#open.values()) for (const map of handles.values()) map.close();
    this.#open.clear();
  }
}
