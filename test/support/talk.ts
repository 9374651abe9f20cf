// A TCP connection that stays: a line sent comes back, for as long as the connection works.

import { EventEmitter, once } from "node:events";
import { createInterface } from "node:readline";
import type { World } from "../../src/playground/index.ts";
import { peerArgv } from "./programs.ts";

const answerTimeoutMs = 3_000;

/** See above. */
export interface Talk {
  /** Sends a line and resolves to what comes back. @throws when nothing does within three seconds */
  ask(line: string): Promise<string>;
  /** Closes the connection and resolves when its program has ended. */
  end(): Promise<void>;
}

/**
 * Opens a connection to `peers/tcp-server`. The server sends something all the time, so that there is always a
 * packet on its way from it, whatever changes in between.
 */
export async function talk(world: World, from: string, to: string, port: number): Promise<Talk> {
  const child = world.spawn(from, peerArgv("tcp-client", "line", to, port));
  const closed = once(child, "close");
  const answers = new EventEmitter();
  createInterface({ input: child.stdout! }).on("line", (text) => {
    if (text !== "tick") answers.emit("answer", text);
  });
  const line: Talk = {
    async ask(text) {
      const answer = once(answers, "answer", { signal: AbortSignal.timeout(answerTimeoutMs) });
      child.stdin!.write(`${text}\n`);
      return ((await answer) as [string])[0];
    },
    async end() {
      child.stdin!.end();
      child.kill("SIGKILL");
      await closed;
    },
  };
  await line.ask("hello");
  return line;
}
