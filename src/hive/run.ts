// From start to end: what a process that is nothing but a hive does.

import { RunFailedError, StartCancelledError, StartFailedError, StopFailedError } from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { ShutdownLatch } from "./shutdown.ts";

export interface RunParts {
  readonly name: string;
  readonly log: Logger;
  readonly signals: readonly NodeJS.Signals[];
  readonly shutdown: ShutdownLatch;
  /** Aborts when something else stops the hive. */
  readonly stopRequested: AbortSignal;
  readonly start: (cancel: AbortSignal) => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** Starts, waits for a signal or a shutdown request, stops; throws what ended the run if it was an error. */
export async function runUntilEnded(parts: RunParts): Promise<void> {
  const { log, shutdown, signals } = parts;
  const signalled = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    removeHandlers();
    log.info({ signal }, "signal received");
    signalled.abort();
  };
  const removeHandlers = () => {
    for (const signal of signals) process.off(signal, onSignal);
  };
  for (const signal of signals) process.on(signal, onSignal);
  // Waiting for a signal does not keep the event loop alive; this does, for a hive without sockets or timers.
  const alive = setInterval(() => undefined, 2 ** 30);
  try {
    const ended = AbortSignal.any([signalled.signal, shutdown.signal, parts.stopRequested]);
    const errors = await startAndStop(parts, ended);
    const reason = shutdown.error;
    if (reason === undefined) {
      if (errors !== undefined) throw errors;
    } else if (errors === undefined) {
      throw reason;
    } else {
      throw new RunFailedError(parts.name, reason, errors.errors);
    }
  } finally {
    clearInterval(alive);
    removeHandlers();
  }
}

/** Returns what went wrong; a start that was called off is only that if its roll-back failed. */
async function startAndStop(
  parts: RunParts,
  ended: AbortSignal,
): Promise<StartFailedError | StopFailedError | undefined> {
  try {
    await parts.start(ended);
  } catch (error) {
    if (!(error instanceof StartFailedError)) throw error;
    if (!ended.aborted || !(error.errors[0] instanceof StartCancelledError)) return error;
    const rollback = error.errors.slice(1);
    return rollback.length === 0 ? undefined : new StopFailedError(parts.name, rollback);
  }
  if (!ended.aborted) {
    await new Promise<void>((resolve) => ended.addEventListener("abort", () => resolve(), { once: true }));
  }
  try {
    await parts.stop();
    return undefined;
  } catch (error) {
    if (error instanceof StopFailedError) return error;
    throw error;
  }
}
