import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Collection, Datapath, Program, RawMap } from "../../datapath/index.ts";
import { chainMapSpec, hookStatsMap } from "../../datapath/maps/index.ts";
import { CHAIN_READERS, objectOf } from "../../datapath/pipeline.ts";
import type { GlobalMaps } from "../datapath/index.ts";
import { RefusalError } from "../errors.ts";
import type { Plugin } from "../plugin-table/index.ts";
import type { CounterSlots } from "./counters.ts";
import { describeLoadFailure } from "./failures.ts";
import type { Placement, PluginInstances } from "./instances.ts";
import { knownHook } from "./plan.ts";
import type { AttachmentRef, Chain, HookPlan } from "./types.ts";

/** A chain with its kernel objects, not yet reachable by packets or already in place. */
export interface BuiltChain {
  readonly chain: Chain;
  /** Equal for chains that would run the same code with the same values in the same order. */
  readonly fingerprint: string;
  /** What the hook's entry slot must hold: the first plugin, or the target stage itself. */
  readonly first: Program;
  /** Undefined without plugins. */
  readonly array: RawMap | undefined;
  /** Pin of the array: without one the kernel empties it with its last open descriptor. */
  readonly pin: string | undefined;
}

/** What one attempt to build chains works with, and what it has made so far. */
interface Attempt {
  readonly attachment: AttachmentRef;
  readonly plan: HookPlan;
  readonly plugins: ReadonlyMap<string, Plugin>;
  /** Best-effort plugins that did not load, with why. */
  readonly skipped: ReadonlyMap<string, string>;
  /** By hook point. */
  readonly arrays: Map<string, RawMap>;
  /** By plugin. */
  readonly collections: Map<string, Collection>;
}

/** Builds chains in fresh arrays, beside whatever runs. */
export class ChainBuilder {
  readonly #datapath: Datapath;
  readonly #globals: GlobalMaps;
  readonly #instances: PluginInstances;
  readonly #counters: CounterSlots;

  constructor(datapath: Datapath, globals: GlobalMaps, instances: PluginInstances, counters: CounterSlots) {
    this.#datapath = datapath;
    this.#globals = globals;
    this.#instances = instances;
    this.#counters = counters;
  }

  /** Fingerprint of the chain that `build` would make of these plugins, best-effort failures aside. */
  fingerprint({ kind }: AttachmentRef, plugins: readonly Plugin[]): string {
    return JSON.stringify([
      this.#globals.raw[hookStatsMap.name]?.info.id,
      plugins.map((plugin) => [
        plugin.name,
        plugin.templates[objectOf(kind).kind]?.digest,
        Object.entries(plugin.config).map(([name, value]) => [name, `${value}`]),
        this.#instances.mapIds(plugin),
        ...(plugin.readsOnly.length > 0 ? [plugin.readsOnly] : []),
      ]),
    ]);
  }

  /**
   * Builds the chains of these hook points. Best-effort plugins that do not load are left out and reported in
   * the chains; any other failure undoes everything.
   *
   * @throws RefusalError FAILED_PRECONDITION with the verifier's words
   */
  async build(
    attachment: AttachmentRef,
    hooks: readonly string[],
    plan: HookPlan,
    plugins: ReadonlyMap<string, Plugin>,
    targets: ReadonlyMap<string, Program>,
  ): Promise<readonly BuiltChain[]> {
    const skipped = new Map<string, string>();
    for (;;) {
      const orders = new Map(
        hooks.map((hook) => [hook, (plan.order.get(hook) ?? []).filter((name) => !skipped.has(name))]),
      );
      const attempt: Attempt = {
        attachment,
        plan,
        plugins,
        skipped,
        arrays: new Map(),
        collections: new Map(),
      };
      const built: BuiltChain[] = [];
      try {
        for (const [hook, names] of orders) {
          if (names.length > 0) attempt.arrays.set(hook, this.#createArray(hook));
        }
        const places = await this.#placements(orders, attempt);
        const failed = this.#loadAll(attempt, places);
        if (failed !== undefined) {
          skipped.set(failed.plugin, failed.reason);
          for (const array of attempt.arrays.values()) array.close();
          continue;
        }
        for (const [hook, names] of orders) {
          built.push(this.#finish(attempt, hook, names, targets.get(hook)!, places));
        }
        return built;
      } catch (error) {
        for (const array of attempt.arrays.values()) array.close();
        for (const { pin, first, array } of built) {
          if (pin !== undefined) this.#datapath.bpf.unpin(pin);
          if (array !== undefined) first.close();
        }
        throw error;
      } finally {
        for (const collection of attempt.collections.values()) collection.close();
      }
    }
  }

  #createArray(hook: string): RawMap {
    return this.#datapath.bpf.createMap(chainMapSpec(hook));
  }

  async #placements(
    orders: ReadonlyMap<string, readonly string[]>,
    { arrays, plugins }: Attempt,
  ): Promise<ReadonlyMap<string, readonly Placement[]>> {
    // Asked for together, so that new ranks go to disk in one commit.
    const ranked = await Promise.all(
      [...orders].flatMap(([hook, names]) =>
        names.map(async (plugin, index) => {
          const rank = await this.#counters.rank({ plugin, hook });
          const rewrites = !plugins.get(plugin)!.readsOnly.includes(hook);
          return { plugin, place: { hook, chain: arrays.get(hook)!, next: index + 1, rank, rewrites } };
        }),
      ),
    );
    const places = new Map<string, Placement[]>();
    for (const { plugin, place } of ranked) places.set(plugin, [...(places.get(plugin) ?? []), place]);
    return places;
  }

  /** Loads one collection a plugin; returns the first best-effort plugin that did not load. */
  #loadAll(
    { attachment, plugins, collections }: Attempt,
    places: ReadonlyMap<string, readonly Placement[]>,
  ): { readonly plugin: string; readonly reason: string } | undefined {
    for (const [name, where] of places) {
      const plugin = plugins.get(name)!;
      try {
        collections.set(name, this.#instances.load(plugin, objectOf(attachment.kind).kind, where));
      } catch (error) {
        const reason = describeLoadFailure(plugin, attachment.name, error);
        if (plugin.manifest.attachmentPolicy === "BestEffort") return { plugin: name, reason };
        throw new RefusalError("FAILED_PRECONDITION", reason, { cause: error });
      }
    }
    return undefined;
  }

  /** Fills the hook's array and, as the last step, pins it. */
  #finish(
    { attachment, plan, plugins, skipped, arrays, collections }: Attempt,
    hook: string,
    names: readonly string[],
    target: Program,
    places: ReadonlyMap<string, readonly Placement[]>,
  ): BuiltChain {
    const programs = names.map((name) => collections.get(name)!.programs.get(hook)!);
    const wanted = plan.order.get(hook) ?? [];
    const chain: Chain = {
      attachment: attachment.name,
      hook,
      links: names.map((plugin, index) => ({
        plugin,
        version: plugins.get(plugin)!.manifest.version,
        programId: programs[index]!.id,
        rank: places.get(plugin)!.find((place) => place.hook === hook)!.rank,
      })),
      target: knownHook(hook).target,
      unresolved: plan.unresolved.get(hook) ?? [],
      skipped: [...skipped]
        .filter(([name]) => wanted.includes(name))
        .map(([plugin, reason]) => ({ plugin, reason })),
    };
    const fingerprint = this.fingerprint(
      attachment,
      wanted.map((name) => plugins.get(name)!),
    );
    const array = arrays.get(hook);
    if (array === undefined) return { chain, fingerprint, first: target, array: undefined, pin: undefined };
    const { bpf } = this.#datapath;
    for (const [slot, program] of [...programs, target].entries()) {
      for (const half of [0, CHAIN_READERS]) bpf.setProgram(array, half + slot, program);
    }
    // A handle of its own: the collection's are closed before the chain is swung in.
    const first = bpf.programById(programs[0]!.id);
    if (first === undefined)
      throw new Error(`program ${programs[0]?.id} of ${hook} vanished while it was linked`);
    try {
      const directory = join(this.#globals.pins.attachment(attachment.name), "chains");
      bpf.makePinDirectory(directory);
      const pin = join(directory, `${hook}-${randomBytes(4).toString("hex")}`);
      array.pin(pin);
      return { chain, fingerprint, first, array, pin };
    } catch (error) {
      first.close();
      throw error;
    }
  }
}
