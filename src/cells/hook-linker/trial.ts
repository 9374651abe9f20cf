import type { Datapath, RawMap } from "../../datapath/index.ts";
import { chainMapSpec } from "../../datapath/maps/index.ts";
import { hookPoint, OBJECT_KINDS, type ObjectKind } from "../../datapath/pipeline.ts";
import { failedPrecondition } from "../errors.ts";
import type { Plugin } from "../plugin-table/index.ts";
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
  async load(plugin: Plugin): Promise<void> {
    for (const kind of OBJECT_KINDS) {
      const hooks = hooksIn(plugin, kind);
      if (hooks.length > 0) await this.#loadKind(plugin, kind, hooks);
    }
  }

  async #loadKind(plugin: Plugin, kind: ObjectKind, hooks: readonly string[]): Promise<void> {
    const scratch: RawMap[] = [];
    try {
      const places = hooks.map((hook) => {
        const chain = this.#datapath.bpf.createMap(chainMapSpec(hook));
        scratch.push(chain);
        return { hook, chain, next: 1, rank: 0 };
      });
      await this.#instances.verify(plugin, kind, places);
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
