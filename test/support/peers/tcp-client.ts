// A TCP client to be run in a namespace; prints one line of JSON.
//   many ADDRESS PORT N      N connections at once, all open before the first one is used
//                            { connected, intact, failed: [text…] }
//   names ADDRESS PORT N     N connections one after another { names: { NAME: count }, failed: [text…], broken: [text…] }:
//                            those that were not made, and those that ended without an answer
//   digest ADDRESS PORT N    sends N bytes, half-closes, reads the digest { sent, received }: both SHA-256
//   flood ADDRESS PORT N     has N bytes sent { bytes }
//   reset ADDRESS PORT       { ended }: what became of a connection that the server resets
//   refused ADDRESS PORT     { ended }: what became of a connection to a port where nobody listens
//   line ADDRESS PORT        a connection to a restless server: sends what comes on standard input, prints what comes back

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";

const patienceMs = 20_000;

function open(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host, port, noDelay: true, allowHalfOpen: true });
    const timer = setTimeout(() => socket.destroy(new Error("no answer")), patienceMs);
    socket.once("error", reject);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", reject);
      resolve(socket);
    });
  });
}

async function readAll(socket: Socket): Promise<Buffer> {
  const timer = setTimeout(() => socket.destroy(new Error("no end")), patienceMs);
  try {
    return Buffer.concat(await Array.fromAsync(socket as AsyncIterable<Buffer>));
  } finally {
    clearTimeout(timer);
  }
}

const message = (error: unknown): string =>
  (error as NodeJS.ErrnoException).code ?? (error instanceof Error ? error.message : String(error));

async function many(host: string, port: number, count: number): Promise<object> {
  const attempts = await Promise.allSettled(Array.from({ length: count }, () => open(host, port)));
  const sockets = attempts.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const failed = attempts.flatMap((one) => (one.status === "rejected" ? [message(one.reason)] : []));
  const echoes = await Promise.all(
    sockets.map(async (socket, index) => {
      socket.end(`echo\nconnection ${index}`);
      return (await readAll(socket)).toString() === `connection ${index}`;
    }),
  );
  return { connected: sockets.length, intact: echoes.filter(Boolean).length, failed };
}

async function names(host: string, port: number, count: number): Promise<object> {
  const tally: Record<string, number> = {};
  const failed: string[] = [];
  const broken: string[] = [];
  for (let index = 0; index < count; index++) {
    let made = false;
    try {
      const socket = await open(host, port);
      made = true;
      socket.write("name\n");
      const [name = ""] = (await readAll(socket)).toString().split(" ");
      socket.end();
      tally[name] = (tally[name] ?? 0) + 1;
    } catch (error) {
      (made ? broken : failed).push(message(error));
    }
  }
  return { names: tally, failed, broken };
}

async function digest(host: string, port: number, bytes: number): Promise<object> {
  const data = randomBytes(bytes);
  const socket = await open(host, port);
  socket.write("digest\n");
  socket.end(data);
  return {
    sent: createHash("sha256").update(data).digest("hex"),
    received: (await readAll(socket)).toString(),
  };
}

async function flood(host: string, port: number, bytes: number): Promise<object> {
  const socket = await open(host, port);
  socket.write(`flood ${bytes}\n`);
  const { length } = await readAll(socket);
  socket.end();
  return { bytes: length };
}

async function reset(host: string, port: number): Promise<object> {
  try {
    const socket = await open(host, port);
    socket.write("reset\n");
    await readAll(socket);
    return { ended: "properly" };
  } catch (error) {
    return { ended: message(error) };
  }
}

async function line(host: string, port: number): Promise<never> {
  const socket = await open(host, port);
  socket.write("restless\n");
  process.stdin.pipe(socket);
  socket.pipe(process.stdout);
  await once(socket, "close");
  process.exit(0);
}

const [what = "", host = "", port = "", count = "1"] = process.argv.slice(2);
const work = { many, names, digest, flood, reset, refused: reset, line }[what];
if (work === undefined) throw new Error(`no role is called ${what}`);
console.log(JSON.stringify(await work(host, Number(port), Number(count))));
process.exit(0);
