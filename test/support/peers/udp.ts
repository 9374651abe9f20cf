// One end of a conversation over UDP, to be run in a namespace.
//   serve PORT NAME [ADDRESS]              answers every datagram with NAME, a zero byte and the datagram; says "ready"
//   ask ADDRESS PORT FLOWS EACH BYTES MS   FLOWS sockets send EACH random datagrams of BYTES, one after another, and
//                                          wait MS for each answer; prints
//     { sent, answered, intact, names: { NAME: count }, sources: ["ADDRESS:PORT"…], split }
//   knock ADDRESS PORT                     one datagram from a connected socket; prints { heard }: "answer", the code of
//                                          the error that came back, or "nothing"
//   flow ADDRESS PORT LOCAL                a socket at port LOCAL (0: any) sends a datagram for each line of its input, and
//                                          prints what came: { name, source: "ADDRESS:PORT" }, { error: CODE }, or {}
//   where `split` counts flows that were answered by more than one name.

import { randomBytes } from "node:crypto";
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** Long enough for a machine with much else to do. */
const answerTimeoutMs = 3_000;
const receiveBuffer = 1024 * 1024;

const socketFor = (address: string): Socket => createSocket(address.includes(":") ? "udp6" : "udp4");

async function serve(port: number, name: string, address = "0.0.0.0"): Promise<void> {
  const socket = socketFor(address);
  socket.on("message", (data, from) => {
    socket.send(Buffer.concat([Buffer.from(`${name}\0`), data]), from.port, from.address);
  });
  // Port unreachable from a client that is gone.
  socket.on("error", () => undefined);
  socket.bind(port, address);
  await once(socket, "listening");
  socket.setRecvBufferSize(receiveBuffer);
  console.log("ready");
}

interface Tally {
  sent: number;
  answered: number;
  intact: number;
  split: number;
  readonly names: Record<string, number>;
  readonly sources: Set<string>;
}

async function exchange(
  socket: Socket,
  data: Buffer,
  port: number,
  address: string,
  patienceMs: number,
): Promise<[Buffer, RemoteInfo] | undefined> {
  const timeout = AbortSignal.timeout(patienceMs);
  try {
    const answer = once(socket, "message", { signal: timeout });
    socket.send(data, port, address);
    return (await answer) as [Buffer, RemoteInfo];
  } catch (error) {
    if (timeout.aborted) return undefined;
    throw error;
  }
}

interface Question {
  readonly address: string;
  readonly port: number;
  readonly each: number;
  readonly bytes: number;
  readonly patienceMs: number;
}

async function askOnce(tally: Tally, question: Question): Promise<void> {
  const { address, port, each, bytes, patienceMs } = question;
  const socket = socketFor(address);
  socket.bind(0);
  await once(socket, "listening");
  socket.setRecvBufferSize(receiveBuffer);
  const names = new Set<string>();
  for (let index = 0; index < each; index++) {
    const data = randomBytes(bytes);
    tally.sent++;
    const got = await exchange(socket, data, port, address, patienceMs);
    if (got === undefined) continue;
    const [answer, from] = got;
    const end = answer.indexOf(0);
    const name = answer.toString("latin1", 0, end);
    tally.answered++;
    if (answer.subarray(end + 1).equals(data)) tally.intact++;
    tally.names[name] = (tally.names[name] ?? 0) + 1;
    tally.sources.add(`${from.address}:${from.port}`);
    names.add(name);
  }
  if (names.size > 1) tally.split++;
  socket.close();
}

async function ask(flows: number, question: Question): Promise<void> {
  const tally: Tally = { sent: 0, answered: 0, intact: 0, split: 0, names: {}, sources: new Set() };
  for (let flow = 0; flow < flows; flow++) await askOnce(tally, question);
  console.log(JSON.stringify({ ...tally, sources: [...tally.sources] }));
}

async function knock(address: string, port: number): Promise<void> {
  const socket = socketFor(address);
  const heard = new Promise<string>((resolve) => {
    socket.once("message", () => resolve("answer"));
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    setTimeout(() => resolve("nothing"), answerTimeoutMs).unref();
  });
  socket.connect(port, address, () => socket.send("knock"));
  console.log(JSON.stringify({ heard: await heard }));
  socket.close();
}

/** A connected socket hears of errors. */
async function flow(address: string, port: number, local: number): Promise<void> {
  const socket = socketFor(address);
  socket.bind(local);
  await once(socket, "listening");
  socket.connect(port, address);
  await once(socket, "connect");
  for await (const line of createInterface({ input: process.stdin })) {
    const timeout = AbortSignal.timeout(answerTimeoutMs);
    try {
      const answer = once(socket, "message", { signal: timeout });
      socket.send(line, (error) => error && socket.emit("error", error));
      const [data, from] = (await answer) as [Buffer, RemoteInfo];
      const name = data.toString("latin1", 0, data.indexOf(0));
      console.log(JSON.stringify({ name, source: `${from.address}:${from.port}` }));
    } catch (error) {
      console.log(JSON.stringify(timeout.aborted ? {} : { error: (error as NodeJS.ErrnoException).code }));
    }
  }
  socket.close();
}

const [role, ...args] = process.argv.slice(2);
if (role === "serve") await serve(Number(args[0]), args[1] ?? "server", args[2]);
else if (role === "ask") {
  const [address = "", ...numbers] = args;
  const [port, flows, each, bytes, patienceMs] = numbers.map(Number) as [
    number,
    number,
    number,
    number,
    number,
  ];
  await ask(flows, { address, port, each, bytes, patienceMs });
} else if (role === "knock") await knock(args[0]!, Number(args[1]));
else if (role === "flow") await flow(args[0]!, Number(args[1]), Number(args[2]));
else
  throw new Error(
    "usage: udp serve PORT NAME [ADDRESS] | ask ADDRESS PORT FLOWS EACH BYTES MS | knock ADDRESS PORT | flow ADDRESS PORT LOCAL",
  );
