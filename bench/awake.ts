// Cores that stay awake while rates are measured.
//
// The two ends of a connection take turns to have nothing to do, most of all the two of iperf3, with a core each. A core
// that has nothing to do halts, and to wake one that is virtual takes its waker an interrupt through the hypervisor,
// several microseconds. The cheaper the receiver's side of a path is, the more often the receiver has nothing to do, and
// the more wake-ups its sender pays for: the path that takes less work then shows the lower rate.

import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

/**
 * The kernel's file for a bound on the latency of idle cores: a signed 32-bit number of microseconds is in force until
 * the descriptor that it was written to is closed, which the end of the process does as well. At 0 idle cores poll.
 * Source: the kernel's Documentation/power/pm_qos_interface.rst.
 */
const latencyFile = "/dev/cpu_dma_latency";

export interface AwakeCoresOptions {
  /** Whether idle cores are left to themselves, so that what they do to rates can be seen. Default: false. */
  readonly maySleep?: boolean;
  /** Default: the kernel's. */
  readonly file?: string;
}

/** Keeps idle cores from halting, where the machine allows it, and knows when it could not. */
export class AwakeCores {
  readonly #file: string;
  /** Why cores could halt. */
  #asleep: string | undefined;
  readonly #maySleep: boolean;

  constructor({ maySleep = false, file = latencyFile }: AwakeCoresOptions = {}) {
    this.#maySleep = maySleep;
    this.#file = file;
  }

  /** Works while idle cores poll instead of halting, and lets go of them whatever becomes of the work. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    const hold = await this.#hold();
    try {
      return await work();
    } finally {
      await hold?.close();
    }
  }

  /** What a reader has to know: that cores could halt during some work, and why. */
  get remarks(): readonly string[] {
    if (this.#asleep === undefined) return [];
    return [`Idle cores could halt while rates were measured: ${this.#asleep}.`];
  }

  async #hold(): Promise<FileHandle | undefined> {
    if (this.#maySleep) {
      this.#asleep = "so it was asked for";
      return undefined;
    }
    let handle: FileHandle | undefined;
    try {
      // The flag "w" would create a plain file where the kernel has none.
      handle = await open(this.#file, constants.O_WRONLY);
      await handle.write(Buffer.alloc(4));
      return handle;
    } catch (error) {
      await handle?.close();
      this.#asleep = error instanceof Error ? error.message : String(error);
      return undefined;
    }
  }
}
