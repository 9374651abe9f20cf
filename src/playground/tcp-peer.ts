// One end of a TCP connection, run as a program inside a namespace:
//   serve PORT           answers everybody until it is killed; says "listening" first
//   send ADDRESS PORT N  sends N bytes and prints { bytes, ms } when the other end has counted them
//   chat ADDRESS PORT    sends a numbered message every 5 ms and reads it back, until standard input ends; then
//                        prints { sent, received, longestMs }
// The first byte of a connection says which: "S" counts, "E" echoes.

import { createServer, Socket } from "node:net";

const messageBytes = 8;
const messageEveryMs = 5;
const connectTimeoutMs = 20_000;

function serveOne(socket: Socket): void {
  let mode: string | undefined;
  let count = 0;
  socket.on("error", () => socket.destroy());
  socket.on("data", (data: Buffer) => {
    let rest = data;
    if (mode === undefined) {
      mode = data.toString("latin1", 0, 1);
      rest = data.subarray(1);
    }
    if (mode === "E") socket.write(rest);
    else count += rest.length;
  });
  socket.on("end", () => {
    if (mode === "S") socket.write(String(count));
    socket.end();
  });
}

function serve(port: number): void {
  createServer({ allowHalfOpen: true, noDelay: true }, serveOne).listen(port, "0.0.0.0", () =>
    console.log("listening"),
  );
}

const open = (address: string, port: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = new Socket({ allowHalfOpen: true }).connect(port, address);
    socket.setTimeout(connectTimeoutMs);
    socket.setNoDelay(true);
    socket.once("timeout", () => socket.destroy(new Error(`no answer from ${address}:${port}`)));
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.setTimeout(0);
      resolve(socket);
    });
  });

async function send(address: string, port: number, bytes: number): Promise<void> {
  const socket = await open(address, port);
  const begun = process.hrtime.bigint();
  socket.write("S");
  const chunk = Buffer.alloc(64 * 1024, 0x77);
  for (let left = bytes; left > 0; left -= chunk.length) {
    const more = socket.write(left >= chunk.length ? chunk : chunk.subarray(0, left));
    if (!more) await new Promise((resolve) => socket.once("drain", resolve));
  }
  socket.end();
  let answer = "";
  for await (const data of socket) answer += String(data);
  const ms = Number(process.hrtime.bigint() - begun) / 1e6;
  console.log(JSON.stringify({ bytes: Number(answer), ms }));
}

async function chat(address: string, port: number): Promise<void> {
  const socket = await open(address, port);
  let sent = 0;
  let received = 0;
  let longestMs = 0;
  let pending = Buffer.alloc(0);
  const sentAt = new Map<number, number>();
  socket.write("E");
  socket.on("data", (data: Buffer) => {
    pending = Buffer.concat([pending, data]);
    for (; pending.length >= messageBytes; pending = pending.subarray(messageBytes)) {
      const number = Number(pending.readBigUInt64BE());
      if (number !== received) throw new Error(`message ${number} came back in the place of ${received}`);
      longestMs = Math.max(longestMs, performance.now() - sentAt.get(number)!);
      sentAt.delete(number);
      received++;
    }
  });
  const timer = setInterval(() => {
    const message = Buffer.alloc(messageBytes);
    message.writeBigUInt64BE(BigInt(sent));
    sentAt.set(sent++, performance.now());
    socket.write(message);
  }, messageEveryMs);
  console.log("connected");
  process.stdin.resume();
  process.stdin.once("end", () => {
    clearInterval(timer);
    socket.end();
  });
  await new Promise((resolve, reject) => socket.once("end", resolve).once("error", reject));
  clearInterval(timer);
  console.log(JSON.stringify({ sent, received, longestMs: Math.round(longestMs) }));
  process.exit(0);
}

const [role, ...args] = process.argv.slice(2);
switch (role) {
  case "serve":
    serve(Number(args[0]));
    break;
  case "send":
    await send(args[0]!, Number(args[1]), Number(args[2]));
    break;
  case "chat":
    await chat(args[0]!, Number(args[1]));
    break;
  default:
    throw new Error("usage: tcp-peer serve PORT | send ADDRESS PORT BYTES | chat ADDRESS PORT");
}
