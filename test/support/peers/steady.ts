// One of several peers that all talk to each other all the time: steady PORT INTERVAL_MS ADDRESS…
// Serves TCP and UDP echoes on PORT of its own addresses, given as @ADDRESS, and says "ready". A line on standard input
// makes it open a TCP connection and a UDP flow to every other address; "talking" says that each had an answer. Then it
// sends a numbered message over each, every INTERVAL_MS, until the next line. When all have come back, or in the end, it
// prints
//   [ { to, protocol, sent, received, longestMs, problem }… ]
// and goes on answering the others, who may still wait for theirs, until standard input ends.

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createConnection, createServer, isIPv6 } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const messageBytes = 8;
/** Messages still on their way at the end have so long to come back. */
const graceMs = 10_000;
const connectTimeoutMs = 20_000;

class Flow {
  readonly to: string;
  readonly protocol: "tcp" | "udp";
  readonly #write: (message: Buffer) => void;
  readonly #sentAt = new Map<number, number>();
  sent = 0;
  received = 0;
  longestMs = 0;
  problem = "";

  constructor(to: string, protocol: "tcp" | "udp", write: (message: Buffer) => void) {
    this.to = to;
    this.protocol = protocol;
    this.#write = write;
  }

  send(): void {
    const message = Buffer.alloc(messageBytes);
    message.writeBigUInt64BE(BigInt(this.sent));
    this.#sentAt.set(this.sent++, performance.now());
    this.#write(message);
  }

  take(message: Buffer): void {
    const number = Number(message.readBigUInt64BE());
    const at = this.#sentAt.get(number);
    if (at === undefined) {
      this.problem ||= `message ${number} came back twice, or was never sent`;
      return;
    }
    this.#sentAt.delete(number);
    this.received++;
    this.longestMs = Math.max(this.longestMs, performance.now() - at);
  }

  report(): object {
    const { to, protocol, sent, received, problem } = this;
    return { to, protocol, sent, received, longestMs: Math.round(this.longestMs), problem };
  }
}

async function serve(address: string, port: number): Promise<void> {
  const tcp = createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  });
  tcp.listen(port, address);
  await once(tcp, "listening");
  const udp = createSocket(isIPv6(address) ? "udp6" : "udp4");
  udp.on("message", (data, from) => udp.send(data, from.port, from.address));
  udp.on("error", () => undefined);
  udp.bind(port, address);
  await once(udp, "listening");
}

async function openTcp(address: string, port: number): Promise<Flow> {
  const socket = createConnection({ host: address, port, noDelay: true });
  await once(socket, "connect", { signal: AbortSignal.timeout(connectTimeoutMs) });
  const flow = new Flow(address, "tcp", (message) => socket.write(message));
  let pending = Buffer.alloc(0);
  socket.on("data", (data: Buffer) => {
    pending = Buffer.concat([pending, data]);
    for (; pending.length >= messageBytes; pending = pending.subarray(messageBytes)) flow.take(pending);
  });
  socket.on("error", (error) => {
    flow.problem ||= error.message;
  });
  socket.on("close", () => {
    flow.problem ||= "the connection has ended";
  });
  return flow;
}

async function openUdp(address: string, port: number): Promise<Flow> {
  const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
  socket.connect(port, address);
  await once(socket, "connect");
  const flow = new Flow(address, "udp", (message) => socket.send(message));
  socket.on("message", (data) => flow.take(data));
  socket.on("error", (error) => {
    flow.problem ||= error.message;
  });
  return flow;
}

const [port, intervalMs, ...addresses] = process.argv.slice(2) as [string, string, ...string[]];
for (const address of addresses.filter((one) => one.startsWith("@")))
  await serve(address.slice(1), Number(port));
const ended = once(process.stdin, "end");
console.log("ready");
await once(process.stdin, "data");

const others = addresses.filter((one) => !one.startsWith("@"));
const flows = (
  await Promise.all(others.map((to) => Promise.all([openTcp(to, Number(port)), openUdp(to, Number(port))])))
).flat();
for (const flow of flows) flow.send();
const deadline = performance.now() + connectTimeoutMs;
while (flows.some(({ received }) => received === 0)) {
  if (performance.now() > deadline)
    throw new Error(`no answer from ${flows.find((flow) => flow.received === 0)?.to}`);
  await sleep(10);
}
console.log("talking");
const timer = setInterval(() => {
  for (const flow of flows) flow.send();
}, Number(intervalMs));
await once(process.stdin, "data");
clearInterval(timer);
const end = performance.now() + graceMs;
while (flows.some(({ sent, received }) => received < sent) && performance.now() < end) await sleep(10);
console.log(JSON.stringify(flows.map((flow) => flow.report())));
await ended;
process.exit(0);
