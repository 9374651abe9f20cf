import { join } from "node:path";
import { Mutex } from "async-mutex";
import type { Datapath, Program, RawMap } from "../../datapath/index.ts";
import { type HookPoint, hooksOf } from "../../datapath/pipeline.ts";
import type { Logger } from "../../hive/index.ts";
import type { Table } from "../../table/index.ts";
import type { GlobalMaps } from "../datapath/index.ts";
import type { Plugin } from "../plugin-table/index.ts";
import type { StateCollection } from "../state/index.ts";
import { Attached, type ChainRecord } from "./attached.ts";
import { programsAt } from "./attachment-names.ts";
import type { BuiltChain, ChainBuilder } from "./builder.ts";
import type { CounterSlots } from "./counters.ts";
import type { IdleHooks } from "./idle-hooks.ts";
import { planHooks } from "./plan.ts";
import type { TrialLoader } from "./trial.ts";
import type { AttachmentRef, Chain, HookCounters, HookLinker, HookPlan, PreparedChains } from "./types.ts";

/** What the linker works with. */
export interface LinkerParts {
  readonly datapath: Datapath;
  readonly globals: GlobalMaps;
  readonly plugins: Table<Plugin, string>;
  readonly records: StateCollection<readonly ChainRecord[]>;
  readonly counters: CounterSlots;
  readonly idle: IdleHooks;
  readonly builder: ChainBuilder;
  readonly trial: TrialLoader;
  readonly log: Logger;
  /** Told after every change which best-effort plugins are left out, as "plugin at attachment". */
  readonly onChange: (skipped: readonly string[]) => void;
}

/** Links plugins into running datapaths by tail-call interposition. */
export class TailCallLinker implements HookLinker {
  readonly #parts: LinkerParts;
  readonly #attached = new Map<string, Attached>();
  readonly #mutex = new Mutex();

  constructor(parts: LinkerParts) {
    this.#parts = parts;
  }

  plan(plugins: readonly Plugin[]): HookPlan {
    return planHooks(plugins);
  }

  exclusive<T>(work: () => Promise<T>): Promise<T> {
    return this.#mutex.runExclusive(work);
  }

  async prepare(
    ref: AttachmentRef,
    calls: RawMap,
    stages: ReadonlyMap<string, Program>,
  ): Promise<PreparedChains> {
    const plugins = this.#parts.plugins.list();
    this.#parts.idle.engage(this.#usedBy(plugins));
    const hooks = hooksAt(ref);
    const targets = new Map(hooks.map((hook) => [hook.name, stages.get(hook.target)!]));
    const names = hooks.map(({ name }) => name);
    const built = await this.#parts.builder.build(ref, names, this.plan(plugins), byName(plugins), targets);
    const next = new Attached(this.#parts.datapath, ref, calls);
    try {
      for (const chain of built) next.swing(chain);
    } catch (error) {
      this.#unpin(built);
      throw error;
    } finally {
      for (const chain of built) closeHandles(chain, targets);
    }
    return {
      chains: built.map(({ chain }) => chain),
      commit: async () => {
        this.#attached.get(ref.name)?.calls.close();
        this.#attached.set(ref.name, next);
        this.#report();
        await this.#store(next);
        this.#settle();
      },
      release: () => {
        const current = this.#attached.get(ref.name);
        if (current !== undefined) this.#dropStalePins(current);
      },
      abort: () => {
        this.#unpin(built);
        this.#settle();
      },
    };
  }

  async adopt(ref: AttachmentRef, calls: RawMap): Promise<void> {
    const attached = new Attached(this.#parts.datapath, ref, calls);
    for (const record of this.#parts.records.get(ref.name) ?? []) {
      if (attached.runs(record)) attached.note(record);
    }
    this.#attached.get(ref.name)?.calls.close();
    this.#attached.set(ref.name, attached);
    await this.#replaceChains(this.#parts.plugins.list(), [attached], async () => {});
  }

  apply(plugins: readonly Plugin[], commit: () => Promise<void>): Promise<void> {
    return this.exclusive(() => this.#replaceChains(plugins, [...this.#attached.values()], commit));
  }

  tryLoad(plugin: Plugin): Promise<readonly string[]> {
    return this.#parts.trial.load(plugin);
  }

  async remove(attachment: string): Promise<void> {
    this.#attached.get(attachment)?.calls.close();
    this.#attached.delete(attachment);
    this.#report();
    await this.#parts.records.delete(attachment);
    this.#settle();
    await this.#parts.counters.releaseBlocks((name) => name === attachment);
    this.#parts.datapath.bpf.unpin(this.#chainDirectory(attachment), true);
  }

  /** Closes every handle; what is linked stays linked. */
  close(): void {
    for (const { calls } of this.#attached.values()) calls.close();
    this.#attached.clear();
  }

  countersAt(attachment: string): Promise<number> {
    return this.#parts.counters.block(attachment);
  }

  forgetCountersAt(gone: (attachment: string) => boolean): Promise<void> {
    return this.#parts.counters.releaseBlocks(gone);
  }

  forgetCounters(plugin: string): Promise<void> {
    return this.#parts.counters.releaseRanks((name) => name === plugin);
  }

  keepCounters(plugins: ReadonlySet<string>): Promise<void> {
    return this.#parts.counters.releaseRanks((name) => !plugins.has(name));
  }

  chains(attachment?: string): readonly Chain[] {
    const attached =
      attachment === undefined
        ? [...this.#attached.values()].sort((a, b) => (a.ref.name < b.ref.name ? -1 : 1))
        : [this.#attached.get(programsAt(attachment))].filter((found) => found !== undefined);
    return attached.flatMap(({ records, ref }) => {
      const slots = new Map(hooksOf(ref.kind).map(({ name, slot }) => [name, slot]));
      return records
        .map(({ chain }) => chain)
        .sort((a, b) => (slots.get(a.hook) ?? 0) - (slots.get(b.hook) ?? 0));
    });
  }

  counters(
    filter: { readonly plugin?: string; readonly attachment?: string } = {},
  ): Promise<readonly HookCounters[]> {
    return this.#parts.counters.read(filter);
  }

  /** Two phases: load everything that changes, commit, and only then let packets see any of it. */
  async #replaceChains(
    plugins: readonly Plugin[],
    attachments: readonly Attached[],
    commit: () => Promise<void>,
  ): Promise<void> {
    const plan = this.plan(plugins);
    const targets: Program[] = [];
    // All at once, so that what they write to disk goes there in few commits; loading itself is synchronous.
    const settled = await Promise.allSettled(
      attachments.map((attached) => this.#buildChanges(attached, plan, byName(plugins), targets)),
    );
    const changes = settled.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    const swung: Attached[] = [];
    const errors: unknown[] = [];
    try {
      const failed = settled.find((result) => result.status === "rejected");
      if (failed !== undefined) throw failed.reason;
      this.#parts.idle.engage(this.#usedBy(plugins));
      await commit();
      for (const { attached, built } of changes) {
        if (built.length === 0) continue;
        swung.push(attached);
        // What is wanted is decided by now: one attachment in trouble must not keep the others from it.
        for (const chain of built) collectErrors(errors, () => attached.swing(chain));
      }
    } catch (error) {
      for (const { built } of changes) this.#unpin(built);
      this.#settle();
      throw error;
    } finally {
      for (const { built } of changes) for (const chain of built) closeHandles(chain);
      for (const target of targets) target.close();
    }
    this.#report();
    await this.#afterSwing(swung, attachments);
    if (errors.length > 0) {
      throw new AggregateError(errors, `decided and stored, but not swung everywhere: ${String(errors[0])}`);
    }
  }

  /**
   * Records what runs and lets go of what it replaced. Nothing in here can make the change undone: records that
   * are not written are found to differ at the next start, and pins that stay go with the next change.
   */
  async #afterSwing(swung: readonly Attached[], attachments: readonly Attached[]): Promise<void> {
    try {
      await Promise.all(swung.map((attached) => this.#store(attached)));
      this.#settle();
      if (swung.length > 0) await this.#parts.datapath.bpf.quiesce();
      for (const attached of attachments) this.#dropStalePins(attached);
    } catch (error) {
      this.#parts.log.warn({ err: error }, "chains have changed; cleaning up after it failed");
    }
  }

  /**
   * Hook points at which packets may meet plugins: where those are linked, where attachments that are still to be adopted
   * had some, and where the enabled ones will be. A change is on disk before it is swung in, and its record after
   * that, so a crash in between leaves none out.
   */
  #usedBy(plugins: readonly Plugin[]): ReadonlySet<string> {
    const known = [...this.#attached.values()].flatMap(({ records }) => records);
    const stored = this.#parts.records.all().flatMap(({ value }) => value);
    return new Set([
      ...plugins.flatMap(({ enabled, manifest }) =>
        enabled ? manifest.hooks.map(({ point }) => point) : [],
      ),
      ...[...known, ...stored].flatMap(({ chain }) => (chain.links.length > 0 ? [chain.hook] : [])),
    ]);
  }

  /** Lets packets pass by the hook points that nobody uses. Where it cannot, they go the long way. */
  #settle(): void {
    try {
      this.#parts.idle.settle(this.#usedBy(this.#parts.plugins.list()));
    } catch (error) {
      this.#parts.log.warn({ err: error }, "hook points that nobody uses could not be marked");
    }
  }

  /** Chains to replace the attachment's with; `targets` collects the stages' handles that they refer to. */
  async #buildChanges(
    attached: Attached,
    plan: HookPlan,
    plugins: ReadonlyMap<string, Plugin>,
    targets: Program[],
  ): Promise<{ readonly attached: Attached; readonly built: readonly BuiltChain[] }> {
    const hooks = this.#changedHooks(attached, plan, plugins);
    if (hooks.length === 0) return { attached, built: [] };
    const targetOf = new Map(hooks.map((hook) => [hook, attached.target(hook)]));
    targets.push(...targetOf.values());
    return { attached, built: await this.#parts.builder.build(attached.ref, hooks, plan, plugins, targetOf) };
  }

  /** Hooks whose running chain is another than the plan's; a plugin that failed before is tried again. */
  #changedHooks(attached: Attached, plan: HookPlan, plugins: ReadonlyMap<string, Plugin>): readonly string[] {
    return hooksAt(attached.ref)
      .map(({ name }) => name)
      .filter((hook) => {
        const running = attached.record(hook);
        if (running === undefined || running.chain.skipped.length > 0) return true;
        const wanted = (plan.order.get(hook) ?? []).map((name) => plugins.get(name)!);
        return (
          running.fingerprint !== this.#parts.builder.fingerprint(attached.ref, wanted) ||
          running.chain.unresolved.join() !== (plan.unresolved.get(hook) ?? []).join()
        );
      });
  }

  #store(attached: Attached): Promise<void> {
    const records = attached.records.map(({ chain, fingerprint, pin }) => ({ chain, fingerprint, pin }));
    return this.#parts.records.put(attached.ref.name, records);
  }

  #report(): void {
    const skipped = this.chains().flatMap((chain) =>
      chain.skipped.map(({ plugin }) => `${plugin} at ${chain.hook} of ${chain.attachment}`),
    );
    this.#parts.onChange(skipped);
  }

  /** Unpins arrays that no chain uses. Only after a grace period: packets may still be inside them. */
  #dropStalePins({ ref, records }: Attached): void {
    const used = new Set(records.map(({ pin }) => pin));
    const directory = this.#chainDirectory(ref.name);
    for (const name of this.#parts.datapath.bpf.listPins(directory)) {
      const pin = join(directory, name);
      if (!used.has(pin)) this.#parts.datapath.bpf.unpin(pin);
    }
  }

  #unpin(built: readonly BuiltChain[]): void {
    for (const { pin } of built) if (pin !== undefined) this.#parts.datapath.bpf.unpin(pin);
  }

  #chainDirectory(attachment: string): string {
    return join(this.#parts.globals.pins.attachment(attachment), "chains");
  }
}

/** The hook points of an attachment, as far as their programs are loaded. */
const hooksAt = ({ kind, families }: AttachmentRef): readonly HookPoint[] =>
  hooksOf(kind).filter(({ family }) => families.includes(family));

function byName(plugins: readonly Plugin[]): ReadonlyMap<string, Plugin> {
  return new Map(plugins.map((plugin) => [plugin.name, plugin]));
}

function collectErrors(errors: unknown[], work: () => void): void {
  try {
    work();
  } catch (error) {
    errors.push(error);
  }
}

/** The kernel holds what is linked: our descriptors are needed no longer. Targets belong to the caller. */
function closeHandles(built: BuiltChain, targets?: ReadonlyMap<string, Program>): void {
  built.array?.close();
  if (built.array !== undefined && built.first !== targets?.get(built.chain.hook)) built.first.close();
}
