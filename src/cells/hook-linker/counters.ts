import type { BpfMap } from "../../datapath/index.ts";
import type { HookStats } from "../../datapath/maps/index.ts";
import { hookPoint, type ObjectKind, STATS_BLOCK } from "../../datapath/pipeline.ts";
import { resourceExhausted } from "../errors.ts";
import type { StateCollection } from "../state/index.ts";
import { attachmentKind } from "./attachment-names.ts";
import { Numbers } from "./numbers.ts";
import type { HookCounters } from "./types.ts";

/** Where the numbers are kept, so that counters go on after a relink and after a restart of the agent. */
export interface CounterState {
  /** By plugin and hook point: the place of their counters in every block. */
  readonly ranks: StateCollection<number>;
  /** By attachment: its block. */
  readonly blocks: StateCollection<number>;
}

interface Ranked {
  readonly plugin: string;
  readonly hook: string;
}

const separator = "/";
const verdicts = ["next", "pass", "drop", "redirect", "other", "missed"] as const;
const untouched: HookStats = { next: 0n, pass: 0n, drop: 0n, redirect: 0n, other: 0n, missed: 0n };

/**
 * Who counts where in waggle_hook_stats. An attachment has a block of STATS_BLOCK slots, which its programs are told
 * with every packet; a plugin has a rank for each of its hook points, the same in all blocks, which is a constant of
 * its program. So one program counts for all pods, and for each of them by itself.
 */
export class CounterSlots {
  readonly #state: CounterState;
  #map: BpfMap<number, HookStats> | undefined;
  #blocks: Numbers | undefined;
  /** Hook points of different objects never meet in a block. */
  #ranks: ReadonlyMap<ObjectKind, Numbers> | undefined;

  constructor(state: CounterState) {
    this.#state = state;
  }

  /** Reads what is on disk; before anything else. */
  open(stats: BpfMap<number, HookStats>): void {
    const { ranks, blocks } = this.#state;
    this.#map = stats;
    this.#blocks = new Numbers(blocks, Math.floor(stats.info.maxEntries / STATS_BLOCK));
    const kinds = (["lxc", "host", "overlay"] as const).map((kind) => {
      const own = (key: string): boolean => objectOf(key) === kind;
      return [kind, new Numbers(ranks, STATS_BLOCK, own)] as const;
    });
    this.#ranks = new Map(kinds);
  }

  /**
   * Index of the first slot of the attachment's block; a new one starts at zero.
   * @throws RefusalError RESOURCE_EXHAUSTED when all blocks are taken
   */
  async block(attachment: string): Promise<number> {
    const blocks = started(this.#blocks);
    const known = blocks.get(attachment);
    if (known !== undefined) return known * STATS_BLOCK;
    const number = blocks.free();
    if (number === undefined) {
      const size = this.#stats.info.maxEntries;
      throw resourceExhausted(
        `the counters of all ${blocks.size} attachments are in use; start the agent with --map-sizes waggle_hook_stats=${size * 2}`,
      );
    }
    const base = number * STATS_BLOCK;
    const used = new Set([...started(this.#ranks).values()].flatMap((ranks) => ranks.taken()));
    await blocks.take(attachment, number, () => this.#clear(Array.from(used, (rank) => base + rank)));
    return base;
  }

  /**
   * The place of a plugin's counters for a hook point in every block; a new one starts at zero.
   * @throws RefusalError RESOURCE_EXHAUSTED when a block has no more
   */
  async rank({ plugin, hook }: Ranked): Promise<number> {
    const key = [plugin, hook].join(separator);
    const kind = objectOf(key);
    const ranks = kind && started(this.#ranks).get(kind);
    if (ranks === undefined) throw new Error(`no hook point is called ${hook}`);
    const known = ranks.get(key);
    if (known !== undefined) return known;
    const rank = ranks.free();
    if (rank === undefined) {
      throw resourceExhausted(
        `plugins stand at ${STATS_BLOCK} places of ${kind} hooks, and there are counters for no more: ` +
          "unregister plugins that are not used",
      );
    }
    const blocks = started(this.#blocks).taken();
    await ranks.take(key, rank, () => this.#clear(blocks.map((block) => block * STATS_BLOCK + rank)));
    return rank;
  }

  /** Gives back the blocks of attachments that are gone. */
  releaseBlocks(gone: (attachment: string) => boolean): Promise<void> {
    return started(this.#blocks).release(gone);
  }

  /** Gives back the ranks of plugins that are gone. */
  async releaseRanks(gone: (plugin: string) => boolean): Promise<void> {
    const all = [...started(this.#ranks).values()];
    await Promise.all(all.map((ranks) => ranks.release((key) => gone(rankedOf(key).plugin))));
  }

  /** Counters of all plugins and attachments that match, read from the kernel in one go. */
  async read(filter: {
    readonly plugin?: string;
    readonly attachment?: string;
  }): Promise<readonly HookCounters[]> {
    const blocks = started(this.#blocks)
      .entries()
      .filter(([attachment]) => filter.attachment === undefined || filter.attachment === attachment);
    const ranks = [...started(this.#ranks).values()]
      .flatMap((numbers) => numbers.entries())
      .map(([key, rank]) => ({ ...rankedOf(key), rank }))
      .filter(({ plugin }) => filter.plugin === undefined || filter.plugin === plugin);
    const owners = blocks.flatMap(([attachment, block]) => {
      const kind = attachmentKind(attachment);
      return ranks
        .filter(({ hook }) => hookPoint(hook)?.attachment === kind)
        .map(({ plugin, hook, rank }) => ({
          owner: { plugin, hook, attachment },
          slot: block * STATS_BLOCK + rank,
        }));
    });
    if (owners.length === 0) return [];
    const bySlot = new Map<number, readonly HookStats[]>();
    // One lookup a slot is cheaper than a walk over the whole array until a good part of it is wanted.
    if (owners.length > this.#stats.spec.maxEntries / 64) {
      for (const [slot, values] of await this.#stats.entriesPerCpu()) bySlot.set(slot, values);
    } else {
      for (const { slot } of owners) bySlot.set(slot, this.#stats.lookupPerCpu(slot) ?? []);
    }
    return owners.map(({ owner, slot }) => counters(owner, bySlot.get(slot) ?? []));
  }

  #clear(slots: readonly number[]): void {
    for (const slot of slots) this.#stats.update(slot, untouched);
  }

  get #stats(): BpfMap<number, HookStats> {
    return started(this.#map);
  }
}

function started<T>(part: T | undefined): T {
  if (part === undefined) throw new Error("hook counters are used before the hook-linker cell has started");
  return part;
}

/** Names of plugins and hooks have no slash. */
function rankedOf(key: string): Ranked {
  const [plugin = "", hook = ""] = key.split(separator);
  return { plugin, hook };
}

const objectOf = (key: string): ObjectKind | undefined => hookPoint(rankedOf(key).hook)?.object;

function counters(
  owner: Ranked & { readonly attachment: string },
  values: readonly HookStats[],
): HookCounters {
  const total: Record<(typeof verdicts)[number], bigint> = { ...untouched };
  for (const stats of values) {
    for (const verdict of verdicts) total[verdict] += stats[verdict];
  }
  const { next, pass, drop, redirect, other } = total;
  // A missed tail call is counted on top of the verdict that led to it.
  return { ...owner, ...total, packets: next + pass + drop + redirect + other };
}
