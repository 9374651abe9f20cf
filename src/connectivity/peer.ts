// One end of the connectivity test's traffic, run as a program inside a network namespace: peer NAME. Takes requests
// (see peer-protocol.ts) on standard input and answers on standard output, several at a time. Ends with its input.
//
// TCP: the client sends four bytes with the length of its data, then the data, and closes its half. The server answers
// with a line of JSON (who it is, whom it saw, digests of what came and of what follows) and as much random data.
// UDP: the server answers a datagram with such a line and the datagram.

import { createHash, randomBytes } from "node:crypto";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer, isIPv6, Socket } from "node:net";
import { createInterface } from "node:readline";
import type { Exchange, Listening, PeerRequest, PeerResponse } from "./peer-protocol.ts";

const name = process.argv[2] ?? "peer";
/** More than anybody asks for: what a stranger sends must not fill the memory. */
const mostBytes = 64 * 1024 * 1024;
/** Enough for a second SYN, should the first one be lost. */
const connectTimeoutMs = 3_000;
const receiveBuffer = 1024 * 1024;

const digest = (data: Buffer): string => createHash("sha256").update(data).digest("hex");

/** "::ffff:10.0.1.2" as 10.0.1.2: some sockets see IPv4 through IPv6. */
const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, "");

interface Greeting {
  readonly server: string;
  readonly source: string;
  readonly received: string;
  readonly follows: string;
}

/** Reads `[length][data]` from a client, answers, and closes. */
function serveTcp(socket: Socket): void {
  const chunks: Buffer[] = [];
  let size = 0;
  const source = plainAddress(socket.remoteAddress ?? "");
  // A client that is gone has nothing to be told.
  socket.on("error", () => socket.destroy());
  socket.on("data", (data: Buffer) => {
    chunks.push(data);
    size += data.length;
    if (size > mostBytes) socket.destroy();
  });
  socket.on("end", () => {
    const all = Buffer.concat(chunks);
    const length = all.length < 4 ? 0 : Math.min(all.readUInt32BE(), mostBytes);
    const reply = randomBytes(length);
    const greeting: Greeting = {
      server: name,
      source,
      received: digest(all.subarray(4)),
      follows: digest(reply),
    };
    socket.write(`${JSON.stringify(greeting)}\n`);
    socket.end(reply);
  });
}

function serveUdp(socket: UdpSocket): void {
  socket.on("message", (data, from) => {
    const greeting = JSON.stringify({ server: name, source: plainAddress(from.address) });
    socket.send(Buffer.concat([Buffer.from(`${greeting}\n`), data]), from.port, from.address);
  });
  // Port unreachable, from a client that is gone.
  socket.on("error", () => undefined);
}

async function listen(address: string): Promise<Listening> {
  const tcp = createServer({ allowHalfOpen: true }, serveTcp);
  tcp.listen({ host: address, port: 0 });
  await once(tcp, "listening");
  const udp = createSocket(isIPv6(address) ? "udp6" : "udp4");
  udp.bind(0, address);
  await once(udp, "listening");
  udp.setRecvBufferSize(receiveBuffer);
  serveUdp(udp);
  return { tcp: (tcp.address() as AddressInfo).port, udp: udp.address().port };
}

/** Splits a line of JSON from what follows it. */
function takeLine(all: Buffer): { readonly line: Partial<Greeting>; readonly rest: Buffer } {
  const end = all.indexOf("\n");
  if (end < 0) return { line: {}, rest: all };
  return { line: JSON.parse(all.toString("utf8", 0, end)) as Greeting, rest: all.subarray(end + 1) };
}

async function exchangeTcp(
  address: string,
  port: number,
  bytes: number,
  timeoutMs: number,
): Promise<Exchange> {
  const socket = new Socket({ allowHalfOpen: true });
  let step = "connecting";
  const giveUp = (ms: number) =>
    setTimeout(() => socket.destroy(new Error(`no answer within ${ms} ms while ${step}`)), ms);
  let timer = giveUp(Math.min(timeoutMs, connectTimeoutMs));
  try {
    socket.connect(port, address);
    await once(socket, "connect");
    clearTimeout(timer);
    timer = giveUp(timeoutMs);
    step = "sending";
    const data = randomBytes(bytes);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes);
    socket.write(length);
    socket.end(data);
    socket.once("finish", () => {
      step = "receiving";
    });
    const { line, rest } = takeLine(Buffer.concat(await Array.fromAsync(socket as AsyncIterable<Buffer>)));
    const problem =
      line.received !== digest(data)
        ? "what was sent did not arrive whole"
        : line.follows !== digest(rest) || rest.length !== bytes
          ? `what was sent back did not arrive whole (${rest.length} of ${bytes} bytes)`
          : "";
    return { server: line.server ?? "", source: line.source ?? "", problem, lost: 0 };
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

/** The next datagram, or undefined when none comes in time. @throws what the network answered instead */
async function answer(socket: UdpSocket, timeoutMs: number): Promise<Buffer | undefined> {
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const [data] = (await once(socket, "message", { signal: timeout })) as [Buffer];
    return data;
  } catch (error) {
    if (timeout.aborted) return undefined;
    throw error;
  }
}

async function exchangeUdp(request: PeerRequest & { do: "udp" }): Promise<Exchange> {
  const { address, port, bytes, count, timeoutMs } = request;
  const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
  try {
    // A connected socket hears of errors, and hears nothing from any other address than the one it asked.
    socket.connect(port, address);
    await once(socket, "connect");
    socket.setRecvBufferSize(receiveBuffer);
    let lost = 0;
    let problem = "";
    let seen: Partial<Greeting> = {};
    for (let index = 0; index < count; index++) {
      const data = randomBytes(bytes);
      const coming = answer(socket, timeoutMs);
      socket.send(data);
      const got = await coming;
      if (got === undefined) {
        lost++;
        continue;
      }
      const { line, rest } = takeLine(got);
      seen = line;
      if (!rest.equals(data)) problem = "an answer held other data than was sent";
    }
    return { server: seen.server ?? "", source: seen.source ?? "", problem, lost };
  } finally {
    socket.close();
  }
}

function perform(request: PeerRequest): Promise<Listening | Exchange> {
  switch (request.do) {
    case "listen":
      return listen(request.address);
    case "tcp":
      return exchangeTcp(request.address, request.port, request.bytes, request.timeoutMs);
    case "udp":
      return exchangeUdp(request);
  }
}

const words = (error: unknown): string =>
  error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : String(error);

const say = (response: PeerResponse): void => console.log(JSON.stringify(response));

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { id, ...request } = JSON.parse(line) as PeerRequest & { readonly id: number };
    perform(request).then(
      (result) => say({ id, result }),
      (error: unknown) => say({ id, error: words(error) }),
    );
  })
  .once("close", () => process.exit(0));
