// Runs in a pod's namespace. For each address on standard input: connects to a port where nobody listens, and writes
// "ok" as soon as the other end has refused it. Until then it tries again, a few milliseconds apart.

import { connect } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const port = 9;
const tryMs = 20;
const giveUpMs = 10_000;

/** The code of the error that a connection ends with. */
const attempt = (host: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.setTimeout(tryMs);
    const end = (code: string): void => {
      socket.destroy();
      resolve(code);
    };
    socket.once("timeout", () => end("timeout"));
    socket.once("connect", () => end("ECONNREFUSED"));
    socket.once("error", (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });

process.stdout.write("ready\n");
for await (const host of createInterface({ input: process.stdin })) {
  const deadline = Date.now() + giveUpMs;
  let code = await attempt(host);
  while (code !== "ECONNREFUSED" && Date.now() < deadline) {
    await sleep(2);
    code = await attempt(host);
  }
  process.stdout.write(code === "ECONNREFUSED" ? "ok\n" : `${code}\n`);
}
