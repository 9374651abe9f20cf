import { setImmediate as nextTurn } from "node:timers/promises";

/** Work goes on for so long, in milliseconds, before others have their turn. */
const SLICE_MS = 8;

/** Breaks long work into slices, so that the event loop is never blocked for long. */
export class Pace {
  #since = performance.now();

  /** Whether the work has gone on for long enough. */
  get due(): boolean {
    return performance.now() - this.#since >= SLICE_MS;
  }

  /** Lets everything else have its turn. */
  async turn(): Promise<void> {
    await nextTurn();
    this.#since = performance.now();
  }
}
