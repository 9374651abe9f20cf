// A TCP connection that stays: a line sent comes back, for as long as the connection works.

import { EventEmitter, once } from "node:events";
import { createInterface } from "node:readline";
import type { World } from "../../src/playground/index.ts";
import { peerArgv } from "./programs.ts";

const answerTimeoutMs = 20_000;
/** An answer that may come comes within some milliseconds; TCP has sent again twice in this time. */
const silenceMs = 700;

/** See above. */
export interface Talk {
  /** Sends a line and resolves to what comes back. @throws when the connection ends, or nothing comes back */
  ask(line: string): Promise<string>;
  /** Sends a line that must stay unanswered: resolves to what comes back, undefined for nothing. */
  askInVain(line: string): Promise<string | undefined>;
  /** Resolves when the connection has ended from the other side. */
  readonly ended: Promise<unknown>;
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
  void closed.then(() => answers.emit("error", new Error(`the connection from ${from} to ${to} has ended`)));
  // Nobody has to be asking when it ends.
  answers.on("error", () => undefined);
  createInterface({ input: child.stdout! }).on("line", (text) => {
    if (text !== "tick") answers.emit("answer", text);
  });
  // What is written after the end is of no interest.
  child.stdin!.on("error", () => undefined);
  const answerTo = async (text: string, withinMs: number): Promise<string> => {
    if (child.exitCode !== null) throw new Error(`the connection from ${from} to ${to} has ended`);
    const answer = once(answers, "answer", { signal: AbortSignal.timeout(withinMs) });
    child.stdin!.write(`${text}\n`);
    return ((await answer) as [string])[0];
  };
  const line: Talk = {
    ended: closed,
    ask: (text) => answerTo(text, answerTimeoutMs),
    async askInVain(text) {
      try {
        return await answerTo(text, silenceMs);
      } catch (error) {
        if (error instanceof Error && error.name === "AbortError") return undefined;
        throw error;
      }
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
