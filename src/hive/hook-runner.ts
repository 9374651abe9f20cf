// Runs one hook: with a signal, a warning when it is slow, and an end to waiting when its time is up.

import { HookError, HookTimeoutError } from "./errors.ts";
import type { Hook } from "./lifecycle.ts";
import type { Logger } from "./logger.ts";
import { moduleLabel } from "./scope.ts";

export type Phase = "start" | "stop";

/** A hook in the order of the lifecycle, with what happened to it. */
export interface HookEntry {
  readonly hook: Hook;
  /** Full id of the module that appended it. */
  readonly module: string;
  /** What appended it; where hooks start in parallel, one waits for those of what its owner needs. */
  readonly owner: object | undefined;
  state: "pending" | "starting" | "started" | "stopping" | "stopped" | "failed";
  startMs?: number;
  stopMs?: number;
}

export interface HookRunnerOptions {
  readonly log: Logger;
  readonly slowHookMs: number;
  /** How long a hook may go on after its signal has aborted before it is left behind. */
  readonly graceMs: number;
}

/**
 * Runs a start or stop hook to its end. A hook that ends after its signal aborted counts as it ended; one that has
 * not ended `graceMs` after that is left behind.
 * @throws HookError, HookTimeoutError
 */
export async function runHook(
  entry: HookEntry,
  phase: Phase,
  signal: AbortSignal,
  options: HookRunnerOptions,
): Promise<void> {
  const { hook, module } = entry;
  const fields = { hook: hook.name, module, phase };
  const begun = performance.now();
  const elapsed = () => Math.round(performance.now() - begun);
  const slow = setTimeout(() => {
    options.log.warn({ ...fields, elapsedMs: elapsed() }, "hook is slow");
  }, options.slowHookMs);
  const giveUp = gracePeriod(signal, options.graceMs);
  entry.state = phase === "start" ? "starting" : "stopping";
  try {
    const ended = (async () => hook[phase]?.(signal))().catch((cause: unknown) => {
      throw new HookError(phase, hook.name, moduleLabel(module), cause);
    });
    // When the hook is left behind nobody waits for this promise any more; its failure still belongs in the log.
    ended.catch((error: unknown) => options.log.debug({ ...fields, err: error }, "hook failed"));
    const outcome = await Promise.race([ended.then(() => "ended" as const), giveUp.passed]);
    if (outcome === "passed") {
      throw new HookTimeoutError(phase, hook.name, moduleLabel(module), signal.reason);
    }
    entry.state = phase === "start" ? "started" : "stopped";
    options.log.debug({ ...fields, elapsedMs: elapsed() }, "hook done");
  } catch (error) {
    entry.state = "failed";
    throw error;
  } finally {
    clearTimeout(slow);
    giveUp.cancel();
    if (phase === "start") entry.startMs = elapsed();
    else entry.stopMs = elapsed();
  }
}

/** Passes `graceMs` after the signal aborts. */
function gracePeriod(signal: AbortSignal, graceMs: number) {
  const { promise, resolve } = Promise.withResolvers<"passed">();
  let timer: NodeJS.Timeout | undefined;
  const begin = () => {
    timer = setTimeout(() => resolve("passed"), graceMs);
  };
  if (signal.aborted) begin();
  else signal.addEventListener("abort", begin, { once: true });
  const cancel = () => {
    signal.removeEventListener("abort", begin);
    clearTimeout(timer);
  };
  return { passed: promise, cancel };
}
