import type { Socket } from "node:net";

/**
 * The connections of a server. It keeps them itself, as grpc-js 1.14 on Node 24 takes a session that has only
 * begun to close for closed, so its own shutdown neither waits for calls under way nor cuts them off.
 */
export class Connections {
  readonly #open = new Set<Socket>();
  readonly #empty: (() => void)[] = [];

  add(socket: Socket): void {
    this.#open.add(socket);
    // Errors end in a close; what there is to say about them, the HTTP/2 session says.
    socket.on("error", () => undefined);
    socket.once("close", () => {
      this.#open.delete(socket);
      if (this.#open.size === 0) for (const wake of this.#empty.splice(0)) wake();
    });
  }

  /** True once there are none; false when the time is up or the signal aborts before that. */
  allClosed(timeoutMs: number, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#open.size === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const finish = (done: boolean) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", giveUp);
        resolve(done);
      };
      const giveUp = () => finish(false);
      const timer = setTimeout(giveUp, timeoutMs);
      signal?.addEventListener("abort", giveUp);
      this.#empty.push(() => finish(true));
      if (signal?.aborted) giveUp();
    });
  }

  /** Breaks those that are left. */
  async destroyAll(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#empty.push(resolve));
    const left = [...this.#open];
    for (const socket of left) socket.destroy();
    if (left.length > 0) await closed;
  }
}
