import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Collection, Datapath, Program, RawMap } from "../../datapath/index.ts";
import { chainMapSpec } from "../../datapath/maps/index.ts";
import { objectOf } from "../../datapath/pipeline.ts";
import type { GlobalMaps } from "../datapath/index.ts";
import { RefusalError } from "../errors.ts";
import type { Plugin } from "../plugin-table/index.ts";
import { describeLoadFailure } from "./failures.ts";
import type { Placement, PluginInstances } from "./instances.ts";
import { knownHook } from "./plan.ts";
import type { StatsSlots } from "./slots.ts";
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

/** Builds chains in fresh arrays, beside whatever runs. */
export class ChainBuilder {
  readonly #datapath: Datapath;
  readonly #globals: GlobalMaps;
  readonly #instances: PluginInstances;
  readonly #slots: StatsSlots;

  constructor(datapath: Datapath, globals: GlobalMaps, instances: PluginInstances, slots: StatsSlots) {
    this.#datapath = datapath;
    this.#globals = globals;
    this.#instances = instances;
    this.#slots = slots;
  }

  /** Fingerprint of the chain that `build` would make of these plugins, best-effort failures aside. */
  fingerprint(attachment: AttachmentRef, plugins: readonly Plugin[]): string {
    const { kind, constants } = attachment;
    return JSON.stringify([
      Object.entries(constants).map(([name, value]) => [
        name,
        Buffer.isBuffer(value) ? value.toString("hex") : `${value}`,
      ]),
      plugins.map((plugin) => [
        plugin.name,
        plugin.templates[objectOf(kind).kind]?.digest,
        Object.entries(plugin.config).map(([name, value]) => [name, `${value}`]),
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
      const arrays = new Map<string, RawMap>();
      const collections = new Map<string, Collection>();
      const dispose = (): void => {
        for (const collection of collections.values()) collection.close();
      };
      try {
        for (const [hook, names] of orders) {
          if (names.length > 0) arrays.set(hook, this.#createArray(hook));
        }
        const places = await this.#placements(attachment.name, orders, arrays);
        const failed = this.#loadAll(attachment, plugins, places, collections);
        if (failed !== undefined) {
          skipped.set(failed.plugin, failed.reason);
          for (const array of arrays.values()) array.close();
          continue;
        }
        return hooks.map((hook) =>
          this.#finish(
            attachment,
            hook,
            orders.get(hook)!,
            plan,
            plugins,
            targets.get(hook)!,
            arrays,
            collections,
            places,
            skipped,
          ),
        );
      } catch (error) {
        for (const array of arrays.values()) array.close();
        throw error;
      } finally {
        dispose();
      }
    }
  }

  #createArray(hook: string): RawMap {
    return this.#datapath.bpf.createMap(chainMapSpec(hook));
  }

  async #placements(
    attachment: string,
    orders: ReadonlyMap<string, readonly string[]>,
    arrays: ReadonlyMap<string, RawMap>,
  ): Promise<ReadonlyMap<string, readonly Placement[]>> {
    // Asked for together, so that new slots go to disk in one commit.
    const slots = await Promise.all(
      [...orders].flatMap(([hook, names]) =>
        names.map(async (plugin, index) => {
          const statsSlot = await this.#slots.slot({ plugin, hook, attachment });
          return { plugin, place: { hook, chain: arrays.get(hook)!, next: index + 1, statsSlot } };
        }),
      ),
    );
    const places = new Map<string, Placement[]>();
    for (const { plugin, place } of slots) places.set(plugin, [...(places.get(plugin) ?? []), place]);
    return places;
  }

  /** Loads one collection a plugin; returns the first best-effort plugin that did not load. */
  #loadAll(
    attachment: AttachmentRef,
    plugins: ReadonlyMap<string, Plugin>,
    places: ReadonlyMap<string, readonly Placement[]>,
    into: Map<string, Collection>,
  ): { readonly plugin: string; readonly reason: string } | undefined {
    for (const [name, where] of places) {
      const plugin = plugins.get(name)!;
      try {
        into.set(name, this.#instances.load(plugin, objectOf(attachment.kind).kind, attachment, where));
      } catch (error) {
        const reason = describeLoadFailure(plugin, attachment.name, error);
        if (plugin.manifest.attachmentPolicy === "BestEffort") return { plugin: name, reason };
        throw new RefusalError("FAILED_PRECONDITION", reason, { cause: error });
      }
    }
    return undefined;
  }

  #finish(
    attachment: AttachmentRef,
    hook: string,
    names: readonly string[],
    plan: HookPlan,
    plugins: ReadonlyMap<string, Plugin>,
    target: Program,
    arrays: ReadonlyMap<string, RawMap>,
    collections: ReadonlyMap<string, Collection>,
    places: ReadonlyMap<string, readonly Placement[]>,
    skipped: ReadonlyMap<string, string>,
  ): BuiltChain {
    const { bpf } = this.#datapath;
    const programs = names.map((name) => collections.get(name)!.programs.get(hook)!);
    const array = arrays.get(hook);
    let pin: string | undefined;
    if (array !== undefined) {
      for (const [slot, program] of [...programs, target].entries()) bpf.setProgram(array, slot, program);
      const directory = join(this.#globals.pins.attachment(attachment.name), "chains");
      bpf.makePinDirectory(directory);
      pin = join(directory, `${hook}-${randomBytes(4).toString("hex")}`);
      array.pin(pin);
    }
    const wanted = plan.order.get(hook) ?? [];
    const first = programs[0] === undefined ? target : bpf.programById(programs[0].id);
    if (first === undefined)
      throw new Error(`program ${programs[0]?.id} of ${hook} vanished while it was linked`);
    return {
      chain: {
        attachment: attachment.name,
        hook,
        links: names.map((plugin, index) => ({
          plugin,
          version: plugins.get(plugin)!.manifest.version,
          programId: programs[index]!.id,
          statsSlot: places.get(plugin)!.find((place) => place.hook === hook)!.statsSlot,
        })),
        target: knownHook(hook).target,
        unresolved: plan.unresolved.get(hook) ?? [],
        skipped: [...skipped]
          .filter(([name]) => wanted.includes(name))
          .map(([plugin, reason]) => ({ plugin, reason })),
      },
      fingerprint: this.fingerprint(
        attachment,
        wanted.map((name) => plugins.get(name)!),
      ),
      first,
      array,
      pin,
    };
  }
}
