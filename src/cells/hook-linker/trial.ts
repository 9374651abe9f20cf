import type { Datapath, ProgramEffects, RawMap } from "../../datapath/index.ts";
import { chainMapSpec } from "../../datapath/maps/index.ts";
import {
  HOOK_STATS_WORD,
  hookPoint,
  OBJECT_KINDS,
  type ObjectKind,
  PARSED_WORD,
  PIPELINE,
} from "../../datapath/pipeline.ts";
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

  /**
   * Hook points at which the plugin leaves packets as they are.
   * @throws RefusalError FAILED_PRECONDITION with the verifier's words and the C line, or what belongs to the datapath and
   * the plugin writes to
   */
  async load(plugin: Plugin): Promise<readonly string[]> {
    const readsOnly: string[] = [];
    for (const kind of OBJECT_KINDS) {
      const hooks = hooksIn(plugin, kind);
      if (hooks.length === 0) continue;
      for (const [hook, effects] of await this.#loadKind(plugin, kind, hooks)) {
        checkControlStores(plugin, kind, hook, effects);
        if (!effects.writesPackets) readsOnly.push(hook);
      }
    }
    return readsOnly;
  }

  async #loadKind(
    plugin: Plugin,
    kind: ObjectKind,
    hooks: readonly string[],
  ): Promise<ReadonlyMap<string, ProgramEffects>> {
    const scratch: RawMap[] = [];
    try {
      const places = hooks.map((hook) => {
        const chain = this.#datapath.bpf.createMap(chainMapSpec(hook));
        scratch.push(chain);
        return { hook, chain, next: 1, rank: 0, rewrites: true };
      });
      return await this.#instances.verify(plugin, kind, places);
    } catch (error) {
      throw failedPrecondition(describeLoadFailure(plugin, `trial load of hooks/${kind}.c`, error), error);
    } finally {
      for (const map of scratch) map.close();
    }
  }
}

/** The stages would believe what a plugin left in their words. HOOK() itself clears one of them. */
function checkControlStores(
  plugin: Plugin,
  kind: ObjectKind,
  hook: string,
  { controlStores }: ProgramEffects,
): void {
  const foreign = controlStores.find(
    ({ word, clears }) => word === HOOK_STATS_WORD || (word === PARSED_WORD && !clears),
  );
  if (foreign === undefined) return;
  throw failedPrecondition(
    `plugin ${plugin.name}: HOOK(${hook}) in ${PIPELINE[kind].pluginSource} stores to ctx->cb[${foreign.word}], which ` +
      "is the datapath's; nothing was changed. Keep to ctx->cb[0] to [2], or use a map",
  );
}

function hooksIn(plugin: Plugin, kind: ObjectKind): readonly string[] {
  return plugin.manifest.hooks.map(({ point }) => point).filter((point) => hookPoint(point)?.object === kind);
}
