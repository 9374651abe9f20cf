import { resourceExhausted } from "../../cells/errors.ts";

/** Counts open streams and refuses one too many: each costs memory for as long as its reader likes. */
export class StreamSlots {
  readonly #limit: number;
  #used = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Streams open now. */
  get used(): number {
    return this.#used;
  }

  /**
   * Takes a slot; release it by calling the result, once.
   * @throws RefusalError RESOURCE_EXHAUSTED when all are taken
   */
  acquire(): () => void {
    if (this.#used >= this.#limit) {
      throw resourceExhausted(
        `all ${this.#limit} watch and monitor streams are taken; close one, or raise max-watchers`,
      );
    }
    this.#used++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#used--;
    };
  }
}
