// A flow of UDP that stays: a socket that asks whenever it is told to.

import { once } from "node:events";
import { createInterface } from "node:readline";
import type { World } from "../../src/playground/index.ts";
import { peerArgv } from "./programs.ts";

/** What came of one datagram: an answer, an error, or nothing within a second. */
export interface FlowAnswer {
  readonly name?: string;
  /** "ADDRESS:PORT" */
  readonly source?: string;
  /** Code: "ECONNREFUSED". */
  readonly error?: string;
}

/** See above. */
export interface UdpFlow {
  ask(): Promise<FlowAnswer>;
  /** Closes the socket and resolves when its program has ended. */
  end(): Promise<void>;
}

/** Opens a socket at `from` that is connected to `peers/udp serve`, or a service of it. @param local its port; 0: any */
export function udpFlow(world: World, from: string, to: string, port: number, local = 0): UdpFlow {
  const child = world.spawn(from, peerArgv("udp", "flow", to, port, local));
  const closed = once(child, "close");
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return {
    async ask() {
      child.stdin!.write("?\n");
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`the flow from ${from} to ${to} ended early`);
      return JSON.parse(value) as FlowAnswer;
    },
    async end() {
      child.stdin!.end();
      await closed;
    },
  };
}
