import { type Datapath, MapType, type RawMap } from "../../datapath/index.ts";
import { CHAIN_MAP_PREFIX, CHAIN_SLOTS, hookPoint, type ObjectKind } from "../../datapath/pipeline.ts";
import { failedPrecondition } from "../errors.ts";
import type { Plugin } from "../plugin-registry/index.ts";
import { describeLoadFailure } from "./failures.ts";
import type { PluginInstances } from "./instances.ts";

/** Loads a plugin's programs once and lets go of them, so that a bad one is refused before it is registered. */
export class TrialLoader {
  readonly #datapath: Datapath;
  readonly #instances: PluginInstances;

  constructor(datapath: Datapath, instances: PluginInstances) {
    this.#datapath = datapath;
    this.#instances = instances;
  }

  /** @throws RefusalError FAILED_PRECONDITION with the verifier's words and the C line */
  load(plugin: Plugin): void {
    for (const kind of ["lxc", "host"] as const) {
      const hooks = hooksIn(plugin, kind);
      if (hooks.length > 0) this.#loadKind(plugin, kind, hooks);
    }
  }

  #loadKind(plugin: Plugin, kind: ObjectKind, hooks: readonly string[]): void {
    const scratch: RawMap[] = [];
    // Maps of its own, unpinned: the plugin's real ones may not exist or have another layout.
    const create = (name: string, type: MapType, entries: number): RawMap => {
      const map = this.#datapath.bpf.createMap({ name, type, keySize: 4, valueSize: 4, maxEntries: entries });
      scratch.push(map);
      return map;
    };
    try {
      const places = hooks.map((hook) => ({
        hook,
        chain: create(`${CHAIN_MAP_PREFIX}${hook}`, MapType.progArray, CHAIN_SLOTS),
        next: 1,
        statsSlot: 0,
      }));
      this.#instances.load(plugin, kind, { constants: {} }, places, {}).close();
    } catch (error) {
      throw failedPrecondition(describeLoadFailure(plugin, `trial load of hooks/${kind}.c`, error), error);
    } finally {
      for (const map of scratch) map.close();
    }
  }
}

function hooksIn(plugin: Plugin, kind: ObjectKind): readonly string[] {
  return plugin.manifest.hooks.map(({ point }) => point).filter((point) => hookPoint(point)?.object === kind);
}
