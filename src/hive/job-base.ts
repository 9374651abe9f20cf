// What all kinds of jobs share: their state, metrics, health and end.

import { backoffDelay, sleep } from "./backoff.ts";
import { errorText, JobFailedError } from "./errors.ts";
import type { HealthScope } from "./health.ts";
import type { Job, JobContext, JobKind, JobState, JobStatus, RetryOptions } from "./jobs.ts";
import type { Logger } from "./logger.ts";
import { moduleLabel } from "./scope.ts";

/** What a job is given by its group. */
export interface JobEnvironment {
  readonly module: string;
  readonly name: string;
  readonly log: Logger;
  readonly health: HealthScope;
  readonly shutdown: (error: Error) => void;
  /** Called once, when the job has ended. */
  readonly ended: (job: JobBase) => void;
}

export abstract class JobBase implements Job {
  readonly name: string;
  readonly done: Promise<void>;
  protected readonly env: JobEnvironment;
  readonly #kind: JobKind;
  readonly #controller = new AbortController();
  readonly #settle: () => void;
  #state: JobState = "pending";
  #begun = false;
  #runs = 0;
  #failures = 0;
  #lastStartedAt: Date | undefined;
  #lastDurationMs: number | undefined;
  #lastError: string | undefined;

  constructor(kind: JobKind, env: JobEnvironment) {
    this.#kind = kind;
    this.env = env;
    this.name = env.name;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.done = promise;
    this.#settle = resolve;
  }

  /** The job's work from start to end; throws when it failed for good. */
  protected abstract main(): Promise<void>;

  protected get signal(): AbortSignal {
    return this.#controller.signal;
  }

  status(): JobStatus {
    return {
      module: this.env.module,
      name: this.name,
      kind: this.#kind,
      state: this.#state,
      runs: this.#runs,
      failures: this.#failures,
      ...(this.#lastStartedAt === undefined ? {} : { lastStartedAt: this.#lastStartedAt }),
      ...(this.#lastDurationMs === undefined ? {} : { lastDurationMs: this.#lastDurationMs }),
      ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }),
    };
  }

  /** Whether it has ended, by itself or by being stopped. */
  get over(): boolean {
    return this.#state === "done" || this.#state === "failed" || this.#state === "stopped";
  }

  /** Starts the job; nothing happens if it was stopped before or runs already. */
  begin(): void {
    if (this.#begun || this.over) return;
    this.#begun = true;
    this.#state = "idle";
    void this.#supervise();
  }

  async stop(): Promise<void> {
    if (this.over) return;
    this.#controller.abort();
    if (!this.#begun) this.#finish("stopped", "stopped before it began");
    await this.done;
  }

  /** One run of the job's function, measured and reported. Rethrows its error. */
  protected async measure(run: (ctx: JobContext) => void | Promise<void>): Promise<void> {
    const begun = performance.now();
    this.#runs++;
    this.#state = "running";
    this.#lastStartedAt = new Date();
    let reported = false;
    const health = noting(this.env.health, () => {
      reported = true;
    });
    try {
      await run({ signal: this.signal, health, log: this.env.log });
      this.#lastError = undefined;
      if (!reported) this.env.health.ok();
    } catch (error) {
      // What a run throws because it was told to stop is no failure.
      if (!this.signal.aborted) this.#recordFailure(error);
      throw error;
    } finally {
      this.#lastDurationMs = performance.now() - begun;
      this.#state = "idle";
    }
  }

  /** Measured runs until one succeeds or the retries are used up; throws the last error. */
  protected async withRetries(
    run: (ctx: JobContext) => void | Promise<void>,
    options: RetryOptions,
  ): Promise<void> {
    const { retries = 0, backoff = {} } = options;
    for (let failures = 1; ; failures++) {
      try {
        return await this.measure(run);
      } catch (error) {
        if (this.signal.aborted || failures > retries) throw error;
        await this.pause(backoffDelay(backoff, failures));
        if (this.signal.aborted) throw error;
      }
    }
  }

  /** Waits after a failure. */
  protected async pause(delayMs: number): Promise<void> {
    this.#state = "backoff";
    await sleep(delayMs, this.signal);
    this.#state = "idle";
  }

  /** Ends the hive if the options say so. */
  protected escalate(error: unknown, shutdownOnError: boolean | undefined): void {
    if (shutdownOnError !== true || this.signal.aborted) return;
    this.env.shutdown(new JobFailedError(this.name, moduleLabel(this.env.module), error));
  }

  #recordFailure(error: unknown): void {
    this.#failures++;
    this.#lastError = errorText(error);
    this.env.health.degraded("the last run failed", error);
    this.env.log.warn({ err: error, runs: this.#runs, failures: this.#failures }, "job run failed");
  }

  async #supervise(): Promise<void> {
    try {
      await this.main();
      if (this.signal.aborted) this.#finish("stopped", "stopped");
      else this.#finish("done", "done");
    } catch (error) {
      if (this.signal.aborted) {
        this.#finish("stopped", "stopped");
      } else {
        this.#lastError = errorText(error);
        this.#state = "failed";
        this.env.health.degraded("failed for good", error);
        this.#end();
      }
    }
  }

  #finish(state: "done" | "stopped", message: string): void {
    this.#state = state;
    this.env.health.stopped(message);
    this.#end();
  }

  #end(): void {
    this.env.ended(this);
    this.#settle();
  }
}

/** The same scope, telling of reports made through it. */
function noting(scope: HealthScope, note: () => void): HealthScope {
  return {
    ok(message) {
      note();
      scope.ok(message);
    },
    degraded(message, error) {
      note();
      scope.degraded(message, error);
    },
    stopped(message) {
      note();
      scope.stopped(message);
    },
    scope: (name) => scope.scope(name),
    close: () => scope.close(),
  };
}
