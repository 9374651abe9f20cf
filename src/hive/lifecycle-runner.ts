// The lifecycle of a hive: collects hooks while cells are constructed, starts them in that order and stops them in
// reverse.

import {
  DeadlineError,
  HiveStateError,
  HookTimeoutError,
  LifecycleClosedError,
  StartCancelledError,
  StartFailedError,
  StopFailedError,
  settingConflict,
} from "./errors.ts";
import { type HookEntry, type HookRunnerOptions, type Phase, runHook } from "./hook-runner.ts";
import type { LifecycleScope } from "./lifecycle.ts";
import type { Logger } from "./logger.ts";
import { moduleLabel } from "./scope.ts";

/** How long a hook may go on after its deadline, at most. */
const maxGraceMs = 1_000;

export interface LifecycleOptions {
  readonly hive: string;
  readonly log: Logger;
  readonly startTimeoutMs: number;
  readonly stopTimeoutMs: number;
  readonly slowHookMs: number;
  /** What is being constructed right now: the owner of the hooks that are appended. */
  readonly currentOwner: () => object | undefined;
  /**
   * Whether the first owner needs the second. Given, hooks whose owners do not need each other start in parallel;
   * without it, they start strictly one after the other.
   */
  readonly needs?: (owner: object, other: object) => boolean;
}

type State =
  | { readonly kind: "open" }
  | { readonly kind: "starting"; readonly cancel: AbortController; readonly done: Promise<void> }
  | { readonly kind: "started" }
  | { readonly kind: "stopping" | "stopped"; readonly done: Promise<void> };

export class LifecycleRunner {
  readonly #options: LifecycleOptions;
  readonly #entries: HookEntry[] = [];
  /** In the order in which they completed their start. */
  readonly #started: HookEntry[] = [];
  #state: State = { kind: "open" };

  constructor(options: LifecycleOptions) {
    this.#options = options;
  }

  get state(): State["kind"] {
    return this.#state.kind;
  }

  get entries(): readonly HookEntry[] {
    return this.#entries;
  }

  /** The lifecycle as one module sees it. */
  scope(module: string): LifecycleScope {
    return {
      append: (hook) => {
        if (this.#state.kind !== "open") throw new LifecycleClosedError(hook.name, moduleLabel(module));
        this.#entries.push({ hook, module, owner: this.#options.currentOwner(), state: "pending" });
      },
    };
  }

  /**
   * Runs the start hooks; if one fails, stops what had started.
   * @param cancel calls the start off when it aborts
   * @throws StartFailedError with the reason and what failed while rolling back; HiveStateError if not fresh
   */
  async start(cancel?: AbortSignal): Promise<void> {
    if (this.#state.kind !== "open") throw new HiveStateError("start", this.#state.kind);
    const controller = new AbortController();
    const callOff = () => controller.abort(new StartCancelledError("the hive was asked to stop"));
    cancel?.addEventListener("abort", callOff, { once: true });
    if (cancel?.aborted) callOff();
    const done = this.#start(controller);
    this.#state = { kind: "starting", cancel: controller, done };
    try {
      await done;
    } finally {
      cancel?.removeEventListener("abort", callOff);
    }
  }

  /**
   * Runs the stop hooks of what has started. Safe to repeat: later calls wait for the first and end as it did. A
   * start in progress is called off and rolled back.
   * @throws StopFailedError with every error
   */
  async stop(): Promise<void> {
    if (this.#state.kind === "starting") {
      this.#state.cancel.abort(new StartCancelledError("stop was called"));
      // Its outcome, roll-back included, is reported to whoever called start.
      await this.#state.done.catch(() => undefined);
    }
    if (this.#state.kind === "open") this.#state = { kind: "stopped", done: Promise.resolve() };
    if (this.#state.kind === "started") {
      const done = this.#stopStarted().then((errors) => {
        this.#state = { kind: "stopped", done };
        if (errors.length > 0) throw new StopFailedError(this.#options.hive, errors);
      });
      this.#state = { kind: "stopping", done };
    }
    if (this.#state.kind === "stopping" || this.#state.kind === "stopped") await this.#state.done;
  }

  async #start(controller: AbortController): Promise<void> {
    // Let `start` record the state before any hook runs.
    await Promise.resolve();
    const { startTimeoutMs, hive, log } = this.#options;
    const begun = performance.now();
    const deadline = setTimeout(
      () => controller.abort(new DeadlineError("start", startTimeoutMs)),
      startTimeoutMs,
    );
    try {
      const failures = await this.#startAll(controller);
      clearTimeout(deadline);
      if (failures.length === 0) {
        this.#state = { kind: "started" };
        log.info(
          { hooks: this.#started.length, elapsedMs: Math.round(performance.now() - begun) },
          "started",
        );
        return;
      }
      const [reason, ...others] = startFailures(controller.signal, failures);
      // What a setting is to blame for has nothing to do with where in the code that was found out.
      const setting = settingConflict(reason);
      log.error(
        setting === undefined ? { err: reason } : { setting: setting.message },
        "start failed; stopping what had started",
      );
      const rollback = await this.#stopStarted();
      this.#state = { kind: "stopped", done: Promise.resolve() };
      throw new StartFailedError(hive, reason!, [...others, ...rollback]);
    } finally {
      clearTimeout(deadline);
    }
  }

  /** Returns every failure, the first one first. */
  async #startAll(controller: AbortController): Promise<Error[]> {
    if (this.#options.needs !== undefined) return this.#startInParallel(controller);
    try {
      for (const entry of this.#entries) await this.#startOne(entry, controller.signal);
      controller.signal.throwIfAborted();
      return [];
    } catch (error) {
      return [error as Error];
    }
  }

  /** Each hook waits for the hooks of what its owner needs, and for earlier ones of the same owner. */
  async #startInParallel(controller: AbortController): Promise<Error[]> {
    const failures = new Set<Error>();
    const begun = new Map<HookEntry, Promise<void>>();
    for (const entry of this.#entries) {
      const before = [...begun]
        .filter(([earlier]) => this.#mustPrecede(earlier, entry))
        .map(([, done]) => done);
      const done = Promise.all(before).then(() => this.#startOne(entry, controller.signal));
      done.catch((error: Error) => {
        failures.add(error);
        // The first failure calls off the rest; those in progress see it in their signals.
        controller.abort(error);
      });
      begun.set(entry, done);
    }
    await Promise.allSettled(begun.values());
    if (controller.signal.aborted) failures.add(controller.signal.reason as Error);
    return [...failures];
  }

  #mustPrecede(earlier: HookEntry, later: HookEntry): boolean {
    if (earlier.owner === undefined || later.owner === undefined || earlier.owner === later.owner)
      return true;
    return this.#options.needs?.(later.owner, earlier.owner) ?? true;
  }

  async #startOne(entry: HookEntry, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await runHook(entry, "start", signal, this.#runnerOptions("start"));
    this.#started.push(entry);
  }

  /** Stops what has started, last first, those marked `stopFirst` before all; returns every error. */
  async #stopStarted(): Promise<Error[]> {
    const { stopTimeoutMs, log } = this.#options;
    const backwards = this.#started.splice(0).reverse();
    const order = [
      ...backwards.filter(({ hook }) => hook.stopFirst === true),
      ...backwards.filter(({ hook }) => hook.stopFirst !== true),
    ];
    const controller = new AbortController();
    const deadline = setTimeout(
      () => controller.abort(new DeadlineError("stop", stopTimeoutMs)),
      stopTimeoutMs,
    );
    const errors: Error[] = [];
    try {
      for (const entry of order) {
        try {
          await runHook(entry, "stop", controller.signal, this.#runnerOptions("stop"));
        } catch (error) {
          errors.push(error as Error);
          log.error({ err: error, hook: entry.hook.name, module: entry.module }, "stop hook failed");
        }
      }
    } finally {
      clearTimeout(deadline);
    }
    log.info({ hooks: order.length, errors: errors.length }, "stopped");
    return errors;
  }

  #runnerOptions(phase: Phase): HookRunnerOptions {
    const { log, slowHookMs } = this.#options;
    const timeoutMs = phase === "start" ? this.#options.startTimeoutMs : this.#options.stopTimeoutMs;
    return { log, slowHookMs, graceMs: Math.min(maxGraceMs, timeoutMs) };
  }
}

/**
 * The reason of a failed start first, then the rest. Where the start was called off that is the reason, and a hook
 * that threw because of it is no failure of its own; one that did not end is.
 */
function startFailures(signal: AbortSignal, failures: readonly Error[]): Error[] {
  const reason: unknown = signal.reason;
  if (!(reason instanceof StartCancelledError)) return [...failures];
  return [reason, ...failures.filter((error) => error instanceof HookTimeoutError)];
}
