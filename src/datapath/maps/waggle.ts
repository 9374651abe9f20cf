/** Maps that have no counterpart in Cilium. */
import { HOOK_POINTS, OBJECT_KINDS } from "../pipeline.ts";
import { MapType } from "../types.ts";
import { defineMap } from "./definition.ts";
import { padding, struct, transform, u32, u64, u64Array } from "./layout.ts";

/** What all programs read at run time, in slot 0. */
export interface RuntimeConfig {
  /** Send trace notifications. */
  readonly trace: boolean;
  /** Send policy verdict notifications. */
  readonly verdicts: boolean;
}

/** Verdict counters of one plugin program on one CPU. */
export interface HookStats {
  readonly next: bigint;
  readonly pass: bigint;
  readonly drop: bigint;
  readonly redirect: bigint;
  readonly other: bigint;
  /** Tail calls to the next element that found an empty slot. */
  readonly missed: bigint;
}

/** Token bucket of one CPU: for drop notifications, or for ICMP errors. */
export interface RateLimit {
  readonly lastRefillNs: bigint;
  readonly tokens: bigint;
}

const runtimeConfig = transform(
  struct("runtime_config", { trace: u32, verdicts: u32, pad: padding(8) }),
  (config: RuntimeConfig) => ({ trace: config.trace ? 1 : 0, verdicts: config.verdicts ? 1 : 0 }),
  (members) => ({ trace: members.trace !== 0, verdicts: members.verdicts !== 0 }),
);

const hookStats = transform(
  struct("hook_stats", { verdicts: u64Array(8) }),
  (stats: HookStats) => ({
    verdicts: [stats.next, stats.pass, stats.drop, stats.redirect, stats.other, stats.missed, 0n, 0n],
  }),
  ({ verdicts }): HookStats => {
    const [next = 0n, pass = 0n, drop = 0n, redirect = 0n, other = 0n, missed = 0n] = verdicts;
    return { next, pass, drop, redirect, other, missed };
  },
);

const rateLimit = struct("ratelimit_bucket", { lastRefillNs: u64, tokens: u64 });

/** Which notifications are wanted. The agent writes, all programs read. */
export const runtimeMap = defineMap<number, RuntimeConfig>({
  name: "waggle_runtime",
  type: MapType.array,
  maxEntries: 1,
  key: u32,
  value: runtimeConfig,
  formatKey: String,
  formatValue: (config) => `trace=${config.trace} verdicts=${config.verdicts}`,
});

/**
 * Hook points that nobody uses: an entry for each object, in the order of OBJECT_KINDS, with the bits of their slots. The
 * agent writes, programs of the node's devices read (bpf/lib/idle.h).
 */
export const idleHooksMap = defineMap<number, bigint>({
  name: "waggle_idle_hooks",
  type: MapType.array,
  maxEntries: OBJECT_KINDS.length,
  key: u32,
  value: u64,
  formatKey: (object) => OBJECT_KINDS[object] ?? String(object),
  formatValue: (bits) =>
    HOOK_POINTS.filter(({ slot }) => (bits >> BigInt(slot)) & 1n)
      .map(({ name }) => name)
      .join(" "),
});

/** Verdicts of plugin programs, a block of STATS_BLOCK records for each attachment. Plugins write through HOOK(), the agent reads. */
export const hookStatsMap = defineMap<number, HookStats>({
  name: "waggle_hook_stats",
  type: MapType.percpuArray,
  maxEntries: 32768,
  key: u32,
  value: hookStats,
  formatKey: String,
  formatValue: (stats) =>
    `next=${stats.next} pass=${stats.pass} drop=${stats.drop} redirect=${stats.redirect} ` +
    `other=${stats.other} missed=${stats.missed}`,
});

const rateLimited = (name: string) =>
  defineMap<number, RateLimit>({
    name,
    type: MapType.percpuArray,
    maxEntries: 1,
    key: u32,
    value: rateLimit,
    formatKey: String,
    formatValue: (bucket) => `tokens=${bucket.tokens} last_refill_ns=${bucket.lastRefillNs}`,
  });

/** Keeps drop notifications to a bearable number. All programs write. */
export const rateLimitMap = rateLimited("waggle_ratelimit");

/** Keeps the ICMP errors that programs send to a bearable number. All programs write. */
export const icmpRateLimitMap = rateLimited("waggle_icmp_ratelimit");
