import { JobBase, type JobEnvironment } from "./job-base.ts";
import type { JobContext, OneShotOptions } from "./jobs.ts";

/** Runs once, again while it fails and has retries left. */
export class OneShotJob extends JobBase {
  readonly #run: (ctx: JobContext) => void | Promise<void>;
  readonly #options: OneShotOptions;

  constructor(env: JobEnvironment, run: (ctx: JobContext) => void | Promise<void>, options: OneShotOptions) {
    super("one-shot", env);
    this.#run = run;
    this.#options = options;
  }

  protected override async main(): Promise<void> {
    try {
      await this.withRetries(this.#run, this.#options);
    } catch (error) {
      this.escalate(error, this.#options.shutdownOnError);
      throw error;
    }
  }
}
