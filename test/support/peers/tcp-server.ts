// A TCP server to be run in a namespace: tcp-server PORT NAME [ADDRESS]. Says "ready" once it listens. The first line of a
// connection asks for something:
//   name        the server's NAME and the client's address, then the end
//   echo        everything comes back, until the client ends
//   restless    as echo, and a line "tick" every 20 ms besides
//   digest      the SHA-256 of everything up to the client's end, sent after it: needs a half-closed connection
//   flood N     N bytes of zeros, then the end
//   reset       a RST

import { createHash } from "node:crypto";
import { createServer, type Socket } from "node:net";

const tickMs = 20;
const backlog = 2_048;
const chunk = Buffer.alloc(64 * 1024);

async function flood(socket: Socket, bytes: number): Promise<void> {
  for (let left = bytes; left > 0; left -= chunk.length) {
    const more = socket.write(left >= chunk.length ? chunk : chunk.subarray(0, left));
    if (!more) await new Promise((resolve) => socket.once("drain", resolve));
  }
  socket.end();
}

function digest(socket: Socket, first: Buffer): void {
  const hash = createHash("sha256").update(first);
  socket.on("data", (data: Buffer) => void hash.update(data));
  socket.on("end", () => socket.end(hash.digest("hex")));
}

function echo(socket: Socket, first: Buffer): void {
  if (first.length > 0) socket.write(first);
  socket.on("end", () => socket.end());
  socket.pipe(socket, { end: false });
}

function restless(socket: Socket, first: Buffer): void {
  const timer = setInterval(() => socket.write("tick\n"), tickMs);
  socket.on("close", () => clearInterval(timer));
  echo(socket, first);
}

function serve(socket: Socket, name: string): void {
  socket.on("error", () => socket.destroy());
  socket.setNoDelay(true);
  let pending = Buffer.alloc(0);
  const onData = (data: Buffer): void => {
    pending = Buffer.concat([pending, data]);
    const end = pending.indexOf("\n");
    if (end < 0) return;
    socket.off("data", onData);
    const [what, argument] = pending.toString("latin1", 0, end).split(" ");
    const rest = pending.subarray(end + 1);
    if (what === "name") socket.end(`${name} ${socket.remoteAddress}`);
    else if (what === "echo") echo(socket, rest);
    else if (what === "restless") restless(socket, rest);
    else if (what === "digest") digest(socket, rest);
    else if (what === "flood") void flood(socket, Number(argument));
    else socket.resetAndDestroy();
  };
  socket.on("data", onData);
}

const [port, name = "server", address = "0.0.0.0"] = process.argv.slice(2);
createServer({ allowHalfOpen: true }, (socket) => serve(socket, name)).listen(
  { port: Number(port), host: address, backlog },
  () => console.log("ready"),
);
