// All jobs of a hive: hands out module groups, binds jobs to the lifecycle, and shows their metrics.

import type { Observable } from "rxjs";
import { JobNameTakenError, JobsClosedError } from "./errors.ts";
import type { HealthScope } from "./health.ts";
import type { JobBase, JobEnvironment } from "./job-base.ts";
import { ObserverJob } from "./job-observer.ts";
import { OneShotJob } from "./job-one-shot.ts";
import { IntervalJob } from "./job-timer.ts";
import type {
  JobContext,
  JobGroup,
  JobInspector,
  JobStatus,
  ObserverOptions,
  OneShotOptions,
  TimerOptions,
} from "./jobs.ts";
import type { Hook } from "./lifecycle.ts";
import type { LifecycleRunner } from "./lifecycle-runner.ts";
import type { Logger } from "./logger.ts";
import { moduleLabel } from "./scope.ts";

/** What a module's group needs of the module. */
export interface ModuleContext {
  readonly module: string;
  readonly log: Logger;
  readonly health: HealthScope;
}

export class JobRegistry implements JobInspector {
  readonly #lifecycle: LifecycleRunner;
  readonly #shutdown: (error: Error) => void;
  readonly #jobs = new Map<string, JobBase>();
  /** Jobs that were added while the hive ran. */
  readonly #late = new Set<JobBase>();

  constructor(lifecycle: LifecycleRunner, shutdown: (error: Error) => void) {
    this.#lifecycle = lifecycle;
    this.#shutdown = shutdown;
  }

  list(): readonly JobStatus[] {
    return [...this.#jobs.values()]
      .map((job) => job.status())
      .sort((a, b) => compare(a.module, b.module) || compare(a.name, b.name));
  }

  /** The hook that stops late jobs; to be appended before all others. */
  lateJobsHook(): Hook {
    return {
      name: "jobs added while running",
      stopFirst: true,
      stop: async () => {
        await Promise.all([...this.#late].map((job) => job.stop()));
      },
    };
  }

  /** The group of one module. */
  group(context: ModuleContext): JobGroup {
    const add = <J extends JobBase>(name: string, make: (env: JobEnvironment) => J) =>
      this.#add(context, name, make);
    type Run = (ctx: JobContext) => void | Promise<void>;
    return {
      oneShot: (name: string, run: Run, options: OneShotOptions = {}) =>
        add(name, (env) => new OneShotJob(env, run, options)),
      timer: (name: string, run: Run, options: TimerOptions) =>
        add(name, (env) => new IntervalJob(env, run, options)),
      observer: <T>(
        name: string,
        source: Observable<T>,
        run: (value: T, ctx: JobContext) => void | Promise<void>,
        options: ObserverOptions = {},
      ) => add(name, (env) => new ObserverJob(env, source, run, options)),
    };
  }

  #add<J extends JobBase>(context: ModuleContext, name: string, make: (env: JobEnvironment) => J): J {
    const { module } = context;
    const key = `${module}\0${name}`;
    const phase = this.#lifecycle.state;
    if (phase === "stopping" || phase === "stopped") throw new JobsClosedError(name, moduleLabel(module));
    if (this.#jobs.get(key)?.over === false) throw new JobNameTakenError(name, moduleLabel(module));
    const health = context.health.scope(`job-${name}`);
    const job = make({
      module,
      name,
      log: context.log.child({ job: name }),
      health,
      shutdown: this.#shutdown,
      ended: (ended) => this.#ended(key, ended, health),
    });
    this.#jobs.set(key, job);
    if (phase === "open") {
      const hook = { name: `job ${name}`, start: () => job.begin(), stop: () => job.stop() };
      this.#lifecycle.scope(module).append(hook);
    } else {
      this.#late.add(job);
      job.begin();
    }
    return job;
  }

  /** A late job that did not fail leaves no trace, or a hive that adds many would grow without end. */
  #ended(key: string, job: JobBase, health: HealthScope): void {
    if (!this.#late.delete(job) || job.status().state === "failed") return;
    if (this.#jobs.get(key) === job) this.#jobs.delete(key);
    health.close();
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
