import { backoffDelay, sleep, withJitter } from "./backoff.ts";
import { JobBase, type JobEnvironment } from "./job-base.ts";
import type { JobContext, TimerJob, TimerOptions } from "./jobs.ts";

/** Runs after an interval or on a trigger, never twice at a time. */
export class IntervalJob extends JobBase implements TimerJob {
  readonly #run: (ctx: JobContext) => void | Promise<void>;
  readonly #options: TimerOptions;
  /** Set by a trigger, cleared when the run that answers it begins. */
  #wanted: boolean;
  #wake: (() => void) | undefined;
  #failuresInRow = 0;

  constructor(env: JobEnvironment, run: (ctx: JobContext) => void | Promise<void>, options: TimerOptions) {
    super("timer", env);
    this.#run = run;
    this.#options = options;
    this.#wanted = options.runAtStart ?? false;
  }

  trigger(): void {
    this.#wanted = true;
    this.#wake?.();
  }

  protected override async main(): Promise<void> {
    const { debounceMs = 0 } = this.#options;
    while (!this.signal.aborted) {
      await this.#untilDue();
      if (this.#wanted && debounceMs > 0) await sleep(debounceMs, this.signal);
      if (this.signal.aborted) return;
      // Cleared before the run: a trigger during it is for what the run may not have seen.
      this.#wanted = false;
      await this.#runOnce();
    }
  }

  async #runOnce(): Promise<void> {
    try {
      await this.measure(this.#run);
      this.#failuresInRow = 0;
    } catch (error) {
      this.#failuresInRow++;
      this.escalate(error, this.#options.shutdownOnError);
    }
  }

  /** Waits for a trigger, the end of the interval, or the job's end. */
  async #untilDue(): Promise<void> {
    if (this.#wanted || this.signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const delayMs = this.#delayMs();
    const timer = delayMs === undefined ? undefined : setTimeout(resolve, delayMs);
    this.#wake = resolve;
    const wake = () => resolve();
    this.signal.addEventListener("abort", wake, { once: true });
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.signal.removeEventListener("abort", wake);
      this.#wake = undefined;
    }
  }

  #delayMs(): number | undefined {
    const { intervalMs, jitter = 0, backoff } = this.#options;
    if (this.#failuresInRow > 0 && backoff !== undefined) return backoffDelay(backoff, this.#failuresInRow);
    return intervalMs === undefined ? undefined : withJitter(intervalMs, jitter);
  }
}
