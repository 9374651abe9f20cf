import type { AttachedDevice } from "./entries.ts";

interface Waiting {
  readonly device: AttachedDevice;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Whoever comes first waits for so many at most. */
const mostAtOnce = 16;

/**
 * Ends the links of pods that go: one after the other, since the kernel ends each in a grace period with the network's
 * configuration locked, and lets others at it in between. All that were asked for while some were being ended are
 * settled together, so that their devices, which have no such link any more, are deleted in one go.
 */
export class LinkEndings {
  readonly #end: (device: AttachedDevice) => Promise<void>;
  readonly #waiting: Waiting[] = [];
  #busy = false;

  /** @param end ends what is linked at one device */
  constructor(end: (device: AttachedDevice) => Promise<void>) {
    this.#end = end;
  }

  /** @throws what `end` does */
  add(device: AttachedDevice): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ device, resolve, reject });
      if (!this.#busy) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#busy = true;
    for (;;) {
      const batch = this.#waiting.splice(0, mostAtOnce);
      if (batch.length === 0) break;
      const settle: (() => void)[] = [];
      for (const { device, resolve, reject } of batch) {
        settle.push(
          await this.#end(device).then(
            () => resolve,
            (error: unknown) => () => reject(error),
          ),
        );
      }
      for (const one of settle) one();
    }
    this.#busy = false;
  }
}
