// Delays between attempts.

import { setTimeout as sleepFor } from "node:timers/promises";
import type { Backoff } from "./jobs.ts";

/** Shortens a delay by a random part of up to `jitter` (0 to 1), so that many do not act in step. */
export function withJitter(delayMs: number, jitter: number, random: () => number = Math.random): number {
  return delayMs * (1 - jitter * random());
}

/** The delay before the attempt that follows `failures` failures in a row (1 or more), in milliseconds. */
export function backoffDelay(backoff: Backoff, failures: number, random: () => number = Math.random): number {
  const { minMs = 100, maxMs = 60_000, factor = 2, jitter = 0.5 } = backoff;
  return withJitter(Math.min(maxMs, minMs * factor ** (failures - 1)), jitter, random);
}

/** Waits; returns early, without an error, when the signal aborts. */
export async function sleep(delayMs: number, signal: AbortSignal): Promise<void> {
  try {
    await sleepFor(delayMs, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
