interface Waiter {
  settle(error: Error | undefined): void;
}

/** Promises that wait for the same event, each until its own signal aborts. */
export class Waiters {
  readonly #waiting = new Set<Waiter>();

  get size(): number {
    return this.#waiting.size;
  }

  /** Resolves at the next `release`; rejects with the error of the next `fail`, or the signal's reason. */
  wait(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.delete(waiter);
        reject(signal?.reason);
      };
      const waiter: Waiter = {
        settle: (error) => {
          signal?.removeEventListener("abort", onAbort);
          if (error) reject(error);
          else resolve();
        },
      };
      this.#waiting.add(waiter);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  release(): void {
    this.#settleAll(undefined);
  }

  fail(error: Error): void {
    this.#settleAll(error);
  }

  #settleAll(error: Error | undefined): void {
    if (this.#waiting.size === 0) return;
    const waiters = [...this.#waiting];
    this.#waiting.clear();
    for (const waiter of waiters) waiter.settle(error);
  }
}
