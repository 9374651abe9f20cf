// What a cell sees of jobs: background work bound to the lifecycle. job-*.ts implement them.

import type { Observable } from "rxjs";
import type { HealthScope } from "./health.ts";
import type { Logger } from "./logger.ts";

/** Handed to every run of a job. */
export interface JobContext {
  /** Aborts when the hive stops or the job is stopped; a run should end soon after. */
  readonly signal: AbortSignal;
  /**
   * The job's own health node. A run that throws makes it degraded; one that succeeds makes it ok, unless the run
   * has reported something itself.
   */
  readonly health: HealthScope;
  readonly log: Logger;
}

/** Delays between attempts: `minMs * factor^n`, at most `maxMs`, spread by `jitter`. */
export interface Backoff {
  /** Default 100. */
  readonly minMs?: number;
  /** Default 60 000. */
  readonly maxMs?: number;
  /** Default 2. */
  readonly factor?: number;
  /** 0 to 1: a delay d becomes a random one in [d·(1−jitter), d]. Default 0.5. */
  readonly jitter?: number;
}

/** How failures of one piece of work are treated. */
export interface RetryOptions {
  /** Attempts after the first; default 0, `Infinity` for ever. */
  readonly retries?: number;
  readonly backoff?: Backoff;
  /** Ends the whole hive with the error when the last attempt failed. Default false. */
  readonly shutdownOnError?: boolean;
}

export type OneShotOptions = RetryOptions;

export interface TimerOptions {
  /** From the end of a run to the start of the next; without it only `trigger` starts a run. */
  readonly intervalMs?: number;
  /** Run once as soon as the hive starts. Default false: the first run comes after one interval. */
  readonly runAtStart?: boolean;
  /** Waits this long after a trigger so that a burst makes one run. Default 0. */
  readonly debounceMs?: number;
  /** 0 to 1: the interval i becomes a random one in [i·(1−jitter), i]. Default 0. */
  readonly jitter?: number;
  /** Where a run fails: wait this instead of the interval. Default: the interval. */
  readonly backoff?: Backoff;
  /** Ends the whole hive with the error of a failed run. Default false. */
  readonly shutdownOnError?: boolean;
}

export interface ObserverOptions extends RetryOptions {
  /**
   * What to do with values that arrive while one is handled: keep them all in order, or only the latest.
   * Default "all"; choose "latest" for a stream of states.
   */
  readonly keep?: "all" | "latest";
}

/** Where a job is. */
export type JobState = "pending" | "running" | "idle" | "backoff" | "done" | "failed" | "stopped";

export type JobKind = "one-shot" | "timer" | "observer";

/** A job's metrics. */
export interface JobStatus {
  /** Full id of the module that owns the job. */
  readonly module: string;
  readonly name: string;
  readonly kind: JobKind;
  readonly state: JobState;
  /** Runs that were begun; each retry counts. */
  readonly runs: number;
  /** Runs that threw. */
  readonly failures: number;
  readonly lastStartedAt?: Date;
  readonly lastDurationMs?: number;
  /** Text of the last run's error; absent once a run succeeds. */
  readonly lastError?: string;
}

/** A job that was added to a group. */
export interface Job {
  readonly name: string;
  status(): JobStatus;
  /** Resolves when the job has ended for whatever reason; never rejects. A timer ends only by stopping. */
  readonly done: Promise<void>;
  /** Aborts the job and waits for its end. Safe to repeat; not to be awaited by the job's own run. */
  stop(): Promise<void>;
}

export interface TimerJob extends Job {
  /**
   * Asks for a run. Triggers that come before that run begins are merged into it; one that comes while a run is
   * in progress causes another run after it, so the last trigger is never lost.
   */
  trigger(): void;
}

/**
 * A module's jobs. A job added before the hive starts is started where it stands in the order of start hooks and
 * stopped in reverse; one added while the hive runs starts at once and is stopped before all hooks.
 */
export interface JobGroup {
  /**
   * Runs once, with retries.
   * @throws JobNameTakenError, JobsClosedError
   */
  oneShot(name: string, run: (ctx: JobContext) => void | Promise<void>, options?: OneShotOptions): Job;
  /**
   * Runs again and again: after an interval, on a trigger, or both. Runs never overlap.
   * @throws JobNameTakenError, JobsClosedError
   */
  timer(name: string, run: (ctx: JobContext) => void | Promise<void>, options: TimerOptions): TimerJob;
  /**
   * Handles every value of a stream, one after the other. Ends when the stream completes.
   * @throws JobNameTakenError, JobsClosedError
   */
  observer<T>(
    name: string,
    source: Observable<T>,
    run: (value: T, ctx: JobContext) => void | Promise<void>,
    options?: ObserverOptions,
  ): Job;
}

/** The reader's side of all jobs of a hive. */
export interface JobInspector {
  /** Every job that is known, ordered by module and name. */
  list(): readonly JobStatus[];
}
