import type { BpfMap } from "../../datapath/index.ts";
import type { HookStats } from "../../datapath/maps/index.ts";
import { resourceExhausted } from "../errors.ts";
import type { StateCollection } from "../state/index.ts";
import type { HookCounters } from "./types.ts";

/** Key of one counter: a plugin at a hook point of an attachment. */
export interface SlotOwner {
  readonly plugin: string;
  readonly hook: string;
  readonly attachment: string;
}

const separator = "/";
const verdicts = ["next", "pass", "drop", "redirect", "other", "missed"] as const;
const untouched: HookStats = { next: 0n, pass: 0n, drop: 0n, redirect: 0n, other: 0n, missed: 0n };

/**
 * Slots of waggle_hook_stats by owner. They are kept on disk, so that counters go on where they were after a
 * relink and after a restart of the agent.
 */
export class StatsSlots {
  readonly #stored: StateCollection<number>;
  #map: BpfMap<number, HookStats> | undefined;
  readonly #slots = new Map<string, number>();
  readonly #taken = new Set<number>();
  #next = 0;

  constructor(stored: StateCollection<number>) {
    this.#stored = stored;
  }

  /** Reads what is on disk; before anything else. */
  open(stats: BpfMap<number, HookStats>): void {
    this.#map = stats;
    for (const { key, value } of this.#stored.all()) {
      this.#slots.set(key, value);
      this.#taken.add(value);
    }
  }

  get #stats(): BpfMap<number, HookStats> {
    if (this.#map === undefined)
      throw new Error("hook counters are read before the hook-linker cell has started");
    return this.#map;
  }

  /**
   * The owner's slot; a new one starts at zero.
   * @throws RefusalError RESOURCE_EXHAUSTED when the map is full
   */
  async slot(owner: SlotOwner): Promise<number> {
    const key = keyOf(owner);
    const known = this.#slots.get(key);
    if (known !== undefined) return known;
    const slot = this.#free();
    this.#taken.add(slot);
    this.#slots.set(key, slot);
    try {
      this.#stats.update(slot, untouched);
      await this.#stored.put(key, slot);
    } catch (error) {
      this.#slots.delete(key);
      this.#taken.delete(slot);
      throw error;
    }
    return slot;
  }

  /** The slot the owner has already. */
  known(owner: SlotOwner): number | undefined {
    return this.#slots.get(keyOf(owner));
  }

  /** Gives back the slots of owners that are gone. */
  async release(gone: (owner: SlotOwner) => boolean): Promise<void> {
    const keys = [...this.#slots.keys()].filter((key) => gone(ownerOf(key)));
    await Promise.all(
      keys.map(async (key) => {
        await this.#stored.delete(key);
        this.#taken.delete(this.#slots.get(key)!);
        this.#slots.delete(key);
      }),
    );
  }

  /** Counters of all owners that match, read from the kernel in one go. */
  async read(filter: {
    readonly plugin?: string;
    readonly attachment?: string;
  }): Promise<readonly HookCounters[]> {
    const owners = [...this.#slots].filter(([key]) => matches(ownerOf(key), filter));
    if (owners.length === 0) return [];
    const bySlot = new Map<number, readonly HookStats[]>();
    // One lookup a slot is cheaper than a walk over the whole array until a good part of it is wanted.
    if (owners.length > this.#stats.spec.maxEntries / 64) {
      for (const [slot, values] of await this.#stats.entriesPerCpu()) bySlot.set(slot, values);
    } else {
      for (const [, slot] of owners) bySlot.set(slot, this.#stats.lookupPerCpu(slot) ?? []);
    }
    return owners.map(([key, slot]) => counters(ownerOf(key), bySlot.get(slot) ?? []));
  }

  #free(): number {
    const size = this.#stats.info.maxEntries;
    for (let step = 0; step < size; step++) {
      const slot = (this.#next + step) % size;
      if (this.#taken.has(slot)) continue;
      this.#next = slot + 1;
      return slot;
    }
    throw resourceExhausted(
      `all ${size} hook counters are in use; run waggle cleanup and start the agent with --map-sizes waggle_hook_stats=${size * 2}`,
    );
  }
}

function keyOf({ plugin, hook, attachment }: SlotOwner): string {
  return [plugin, hook, attachment].join(separator);
}

/** Plugin and hook names have no slash; attachment names come last, so they may. */
function ownerOf(key: string): SlotOwner {
  const [plugin = "", hook = "", ...rest] = key.split(separator);
  return { plugin, hook, attachment: rest.join(separator) };
}

function matches(
  owner: SlotOwner,
  filter: { readonly plugin?: string; readonly attachment?: string },
): boolean {
  return (
    (filter.plugin === undefined || filter.plugin === owner.plugin) &&
    (filter.attachment === undefined || filter.attachment === owner.attachment)
  );
}

function counters(owner: SlotOwner, values: readonly HookStats[]): HookCounters {
  const total: Record<(typeof verdicts)[number], bigint> = { ...untouched };
  for (const stats of values) {
    for (const verdict of verdicts) total[verdict] += stats[verdict];
  }
  const { next, pass, drop, redirect, other } = total;
  // A missed tail call is counted on top of the verdict that led to it.
  return { ...owner, ...total, packets: next + pass + drop + redirect + other };
}
