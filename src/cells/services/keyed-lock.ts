/** Lets one at a time do something with each key, in the order of asking. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>();

  /**
   * Runs `work` when all that was asked for before with any of the keys has ended, well or not. All keys are queued for
   * at once, so nobody waits in a circle.
   */
  async run<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    const before = keys.map((key) => this.#tails.get(key));
    const running = Promise.all(before).then(work);
    const tail = running.then(
      () => undefined,
      () => undefined, // The caller gets the error; the next in line only needs to know that it is over.
    );
    for (const key of keys) this.#tails.set(key, tail);
    try {
      return await running;
    } finally {
      for (const key of keys) if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }
}
