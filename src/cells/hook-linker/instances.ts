import {
  type Collection,
  type CollectionSpec,
  type Datapath,
  DatapathError,
  type ObjectDescription,
  type ProgramEffects,
  type RawMap,
} from "../../datapath/index.ts";
import {
  CHAIN_MAP_PREFIX,
  CHAIN_POSITION_PREFIX,
  CHAIN_READERS,
  HOOK_STATS_PREFIX,
  type ObjectKind,
  PLUGIN_CONFIG_PREFIX,
} from "../../datapath/pipeline.ts";
import type { GlobalMaps } from "../datapath/index.ts";
import type { Plugin, PluginMaps } from "../plugin-table/index.ts";

/** Where one hook program of an instance stands. */
export interface Placement {
  readonly hook: string;
  /** Chain the program passes packets on in. */
  readonly chain: RawMap;
  /** Index in the chain of what comes after it. */
  readonly next: number;
  /** Place of its counters in every attachment's block of waggle_hook_stats. */
  readonly rank: number;
  /** Must those behind it take the packet for changed? */
  readonly rewrites: boolean;
}

/** Loads instances of plugins from their templates. */
export class PluginInstances {
  readonly #datapath: Datapath;
  readonly #globals: GlobalMaps;
  readonly #maps: PluginMaps;
  readonly #descriptions = new Map<string, ObjectDescription>();

  constructor(datapath: Datapath, globals: GlobalMaps, maps: PluginMaps) {
    this.#datapath = datapath;
    this.#globals = globals;
    this.#maps = maps;
  }

  /**
   * Loads the plugin's programs for these places, and no others.
   * @throws VerifierError, DatapathError
   */
  load(plugin: Plugin, kind: ObjectKind, places: readonly Placement[]): Collection {
    return this.#datapath.bpf.load(this.#spec(plugin, kind, places, this.#maps.open(plugin)));
  }

  /**
   * Has the verifier look at the plugin's programs, off the event loop, and says what they do. The object creates maps of its own: the
   * pinned ones may be absent or of another layout.
   * @throws VerifierError, DatapathError
   */
  verify(
    plugin: Plugin,
    kind: ObjectKind,
    places: readonly Placement[],
  ): Promise<ReadonlyMap<string, ProgramEffects>> {
    return this.#datapath.bpf.verify(this.#spec(plugin, kind, places, {}));
  }

  #spec(
    plugin: Plugin,
    kind: ObjectKind,
    places: readonly Placement[],
    maps: Readonly<Record<string, RawMap>>,
  ): CollectionSpec {
    const template = plugin.templates[kind];
    if (template === undefined) throw new Error(`plugin ${plugin.name} has no ${kind} hooks compiled`);
    const wanted: Record<string, number | bigint> = {};
    const chains: Record<string, RawMap> = {};
    for (const { hook, chain, next, rank, rewrites } of places) {
      wanted[CHAIN_POSITION_PREFIX + hook] = rewrites ? next : next + CHAIN_READERS;
      wanted[HOOK_STATS_PREFIX + hook] = rank;
      chains[CHAIN_MAP_PREFIX + hook] = chain;
    }
    for (const [name, value] of Object.entries(plugin.config)) wanted[PLUGIN_CONFIG_PREFIX + name] = value;
    return {
      object: template.object,
      programs: places.map(({ hook }) => hook),
      constants: this.#known(template.object, wanted),
      maps: { ...this.#globals.raw, ...maps, ...chains },
    };
  }

  /**
   * Kernel ids of the plugin's own maps, by name; undefined when they cannot be had, which a load will explain.
   * A chain that runs with other maps than the pinned ones counts where nobody looks.
   */
  mapIds(plugin: Plugin): Readonly<Record<string, number>> | undefined {
    try {
      const maps = Object.entries(this.#maps.open(plugin));
      return Object.fromEntries(maps.map(([name, { info }]) => [name, info.id]));
    } catch (error) {
      if (error instanceof DatapathError) return undefined;
      throw error;
    }
  }

  /** The constants that the object has: the compiler leaves out those its programs never read. */
  #known(
    object: string,
    constants: Readonly<Record<string, number | bigint>>,
  ): Record<string, number | bigint> {
    let description = this.#descriptions.get(object);
    if (description === undefined) {
      description = this.#datapath.bpf.describeObject(object);
      this.#descriptions.set(object, description);
    }
    const names = new Set(description.constants.map(({ name }) => name));
    return Object.fromEntries(Object.entries(constants).filter(([name]) => names.has(name)));
  }
}
