import type { ServerWritableStream } from "@grpc/grpc-js";
import { resourceExhausted } from "../../cells/errors.ts";

/** How often a blocked writer looks whether its reader has fallen too far behind, in milliseconds. */
const CHECK_INTERVAL_MS = 250;

/** Ends a stream whose reader does not keep up. */
export const readerTooSlow = () => resourceExhausted("reader too slow, resume with a new watch");

/** The sending side of a stream, one message after the other, at the speed of its reader. */
export class StreamWriter<Response> {
  readonly #call: ServerWritableStream<unknown, Response>;
  readonly #signal: AbortSignal;

  constructor(call: ServerWritableStream<unknown, Response>, signal: AbortSignal) {
    this.#call = call;
    this.#signal = signal;
  }

  /**
   * Sends a message; resolves when the stream takes the next one. Nothing is buffered beyond the stream's own
   * high-water mark.
   *
   * @param blocked called a few times a second while the reader does not read, with the milliseconds since it
   *   stopped; what it throws ends the write
   * @throws the reason of the call's signal when it aborts
   */
  async write(message: Response, blocked?: (forMs: number) => void): Promise<void> {
    this.#signal.throwIfAborted();
    if (this.#call.write(message)) return;
    const since = performance.now();
    while (this.#call.writableNeedDrain) {
      await this.#drainOrTick();
      this.#signal.throwIfAborted();
      if (this.#call.writableNeedDrain) blocked?.(performance.now() - since);
    }
  }

  #drainOrTick(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(tick);
        this.#call.off("drain", done);
        this.#signal.removeEventListener("abort", done);
        resolve();
      };
      const tick = setTimeout(done, CHECK_INTERVAL_MS);
      this.#call.once("drain", done);
      this.#signal.addEventListener("abort", done);
    });
  }
}
