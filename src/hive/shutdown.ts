// Requests to end the hive from within; the first one counts.

import type { ShutdownRequester } from "./builtin.ts";
import type { Logger } from "./logger.ts";

export class ShutdownLatch implements ShutdownRequester {
  readonly #log: Logger;
  readonly #controller = new AbortController();
  #error: Error | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Aborts on the first request. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The first request's error. */
  get error(): Error | undefined {
    return this.#error;
  }

  shutdown(error?: Error): void {
    if (this.signal.aborted) {
      if (error !== undefined)
        this.#log.warn({ err: error }, "shutdown requested again; the first reason stands");
      return;
    }
    this.#error = error;
    if (error === undefined) this.#log.info("shutdown requested");
    else this.#log.error({ err: error }, "shutdown requested because of an error");
    this.#controller.abort(error);
  }
}
