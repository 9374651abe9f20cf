import type { Observable } from "rxjs";
import { JobBase, type JobEnvironment } from "./job-base.ts";
import type { JobContext, ObserverOptions } from "./jobs.ts";

type Handler<T> = (value: T, ctx: JobContext) => void | Promise<void>;

/** Handles the values of a stream one after the other. */
export class ObserverJob<T> extends JobBase {
  readonly #source: Observable<T>;
  readonly #run: Handler<T>;
  readonly #options: ObserverOptions;

  constructor(env: JobEnvironment, source: Observable<T>, run: Handler<T>, options: ObserverOptions) {
    super("observer", env);
    this.#source = source;
    this.#run = run;
    this.#options = options;
  }

  protected override async main(): Promise<void> {
    try {
      for await (const value of this.#values()) await this.#handle(value);
    } catch (error) {
      // Only the stream itself ends up here: a value that could not be handled does not end the job.
      this.escalate(error, this.#options.shutdownOnError);
      throw error;
    }
  }

  async #handle(value: T): Promise<void> {
    try {
      await this.withRetries((ctx) => this.#run(value, ctx), this.#options);
    } catch (error) {
      this.escalate(error, this.#options.shutdownOnError);
    }
  }

  /** The stream's values as they can be taken; ends with the stream or the job, throws the stream's error. */
  async *#values(): AsyncGenerator<T> {
    let queue: T[] = [];
    let end: { readonly error?: unknown } | undefined;
    let wake: (() => void) | undefined;
    const finish = (reason: { readonly error?: unknown }) => {
      end ??= reason;
      wake?.();
    };
    const abort = () => finish({});
    this.signal.addEventListener("abort", abort, { once: true });
    const subscription = this.#source.subscribe({
      next: (value) => {
        if (this.#options.keep === "latest") queue = [value];
        else queue.push(value);
        wake?.();
      },
      error: (error: unknown) => finish({ error }),
      complete: () => finish({}),
    });
    try {
      while (!this.signal.aborted) {
        const batch = queue;
        queue = [];
        for (const value of batch) {
          if (this.signal.aborted) return;
          yield value;
        }
        if (queue.length > 0) continue;
        if (end !== undefined) {
          if ("error" in end) throw end.error;
          return;
        }
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await promise;
        wake = undefined;
      }
    } finally {
      this.signal.removeEventListener("abort", abort);
      subscription.unsubscribe();
    }
  }
}
