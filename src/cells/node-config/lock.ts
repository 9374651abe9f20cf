import { once } from "node:events";
import { createServer, type Server } from "node:net";

/**
 * Abstract Unix sockets belong to a network namespace, and go with the process that holds them: just what an
 * agent's claim on its namespace has to do (unix(7)).
 */
const lockAddress = "\0waggle-node";

/** Sees to it that one agent runs in a network namespace: two would replace each other's programs. */
export class NamespaceLock {
  #server: Server | undefined;

  /** @throws Error when another agent has it */
  async take(): Promise<void> {
    const server = createServer((socket) => socket.destroy());
    server.listen({ path: lockAddress });
    try {
      await once(server, "listening");
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EADDRINUSE") throw cause;
      throw new Error(
        "another agent runs in this network namespace; stop it first, or start this one in a namespace of its own",
        { cause },
      );
    }
    server.unref();
    this.#server = server;
  }

  release(): void {
    this.#server?.close();
    this.#server = undefined;
  }
}
