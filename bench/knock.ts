// Knocks at addresses from a pod, as soon as told: how long until the first packet has gone there and back.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { inNamespace } from "../src/playground/namespaces.ts";

/** Somebody in a namespace who knocks. */
export interface Knocker {
  /** Resolves when the address has answered. @throws Error when it does not within seconds */
  knock(ipv4: string): Promise<void>;
  end(): Promise<void>;
}

/** Starts a process that knocks from a namespace. */
export async function startKnocker(namespace: string): Promise<Knocker> {
  const file = join(import.meta.dirname, "peers/knock-process.ts");
  const [program, ...args] = inNamespace(namespace, [
    process.execPath,
    "--disable-warning=ExperimentalWarning",
    file,
  ]);
  const child: ChildProcess = spawn(program!, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`the process that knocks from ${namespace} ended`);
    return value;
  };
  await next();
  return {
    async knock(ipv4) {
      child.stdin!.write(`${ipv4}\n`);
      const answer = await next();
      if (answer !== "ok") throw new Error(`${ipv4} does not answer in ${namespace}: ${answer}`);
    },
    async end() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.stdin!.end();
      child.kill("SIGKILL");
      await gone;
    },
  };
}
