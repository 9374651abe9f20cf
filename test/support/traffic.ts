// What the usual tools say about traffic between the namespaces of a world.

import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { World } from "../../src/playground/index.ts";
import { runPeer, type Server, startUntilListens, startUntilSays } from "./programs.ts";

/** What came of some echo requests. */
export interface Echoes {
  readonly sent: number;
  readonly received: number;
  /** TTLs of the answers. */
  readonly ttls: readonly number[];
  /** Everything ping said. */
  readonly output: string;
}

/** Sends `count` echo requests 20 ms apart; one second is waited for answers. */
export async function echo(
  world: World,
  from: string,
  to: string,
  count = 3,
  ...flags: readonly string[]
): Promise<Echoes> {
  const argv = ["ping", "-n", "-c", String(count), "-i", "0.02", "-W", "1", ...flags, to];
  const { stdout, stderr } = await world.exec(from, argv);
  const counts = /(\d+) packets transmitted, (\d+) received/.exec(stdout);
  if (counts === null) throw new Error(`${argv.join(" ")} in ${from}: ${stderr || stdout}`);
  const ttls = [...stdout.matchAll(/ttl=(\d+)/g)].map((match) => Number(match[1]));
  return { sent: Number(counts[1]), received: Number(counts[2]), ttls, output: stdout + stderr };
}

/** True when all of three echo requests are answered. */
export const reaches = async (world: World, from: string, to: string): Promise<boolean> =>
  (await echo(world, from, to)).received === 3;

/** True when a TCP connection is made in time; nothing is sent. */
export async function connects(
  world: World,
  from: string,
  to: string,
  port: number,
  patienceMs = 10_000,
): Promise<boolean> {
  const nc = ["nc", "-z", "-w", "60", to, String(port)];
  const { code } = await world.exec(from, ["timeout", `${patienceMs / 1_000}`, ...nc]);
  return code === 0;
}

/**
 * Starts an iperf3 server for one test, on one address: a wildcard socket of a host with several would answer
 * datagrams from the one that its routes prefer.
 */
export const startIperf = (world: World, at: string, address: string): Promise<Server> =>
  startUntilSays(world, at, ["iperf3", "--server", "--forceflush", "--bind", address], /Server listening/);

/** A counter of a namespace's kernel (RFC 1213 and later): protocol "Udp:", name "RcvbufErrors". */
async function stackCounter(world: World, at: string, protocol: string, name: string): Promise<number> {
  // /proc/net is the reader's own, unlike /sys.
  const [names, values] = (await world.run(at, ["cat", "/proc/net/snmp"]))
    .split("\n")
    .filter((line) => line.startsWith(protocol))
    .map((line) => line.split(" "));
  return Number(values![names!.indexOf(name)]);
}

/** Datagrams that a namespace has thrown away because their receiver did not keep up. */
export const overrunDatagrams = (world: World, at: string): Promise<number> =>
  stackCounter(world, at, "Udp:", "RcvbufErrors");

/** Segments of TCP that a namespace has sent more than once. */
export const retransmittedSegments = (world: World, at: string): Promise<number> =>
  stackCounter(world, at, "Tcp:", "RetransSegs");

/** A report of iperf3, as far as it is of interest. */
export interface IperfReport {
  /** As the receiver counted. */
  readonly bytes: number;
  readonly bitsPerSecond: number;
  readonly retransmits: number;
  /** UDP: datagrams lost and sent. */
  readonly lost: number;
  readonly packets: number;
}

interface IperfSum {
  readonly bytes: number;
  readonly bits_per_second: number;
  readonly retransmits?: number;
  readonly lost_packets?: number;
  readonly packets?: number;
}

/** Runs an iperf3 client for a second. @throws CommandError */
export async function iperf(
  world: World,
  from: string,
  to: string,
  ...flags: readonly string[]
): Promise<IperfReport> {
  const output = await world.run(from, ["iperf3", "--client", to, "--time", "1", "--json", ...flags]);
  const { end } = JSON.parse(output) as {
    end: { sum_received?: IperfSum; sum_sent?: IperfSum; sum?: IperfSum };
  };
  const received = end.sum_received ?? end.sum!;
  const sum = end.sum ?? received;
  return {
    bytes: received.bytes,
    bitsPerSecond: received.bits_per_second,
    retransmits: end.sum_sent?.retransmits ?? 0,
    lost: sum.lost_packets ?? 0,
    packets: sum.packets ?? 0,
  };
}

/** A running nginx. */
export interface Web extends Server {
  /** SHA-256 of /big. */
  readonly digest: string;
}

/**
 * Starts nginx: /name answers the name, /big is a file of `bytes` random bytes.
 * One process, so that killing it leaves no workers.
 */
export async function startWeb(world: World, at: string, port = 80, bytes = 0): Promise<Web> {
  const directory = join(world.scratch.directory, `web-${at}-${port}`);
  await mkdir(directory);
  const content = randomBytes(bytes);
  await writeFile(join(directory, "big"), content);
  await writeFile(join(directory, "name"), at);
  const file = join(directory, "nginx.conf");
  await writeFile(
    file,
    `daemon off; master_process off; user root; pid ${directory}/pid; error_log ${directory}/error.log;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path ${directory}; proxy_temp_path ${directory}; fastcgi_temp_path ${directory};
  uwsgi_temp_path ${directory}; scgi_temp_path ${directory};
  server { listen ${port} backlog=1024; root ${directory}; }
}
`,
  );
  const server = await startUntilListens(world, at, ["nginx", "-p", directory, "-c", file], port);
  return { ...server, digest: createHash("sha256").update(content).digest("hex") };
}

/** GETs with curl and returns the body. @throws CommandError */
export const get = (world: World, from: string, url: string): Promise<string> =>
  world.run(from, ["curl", "--silent", "--show-error", "--fail", "--max-time", "5", url]);

/** Downloads with curl and returns the SHA-256 of what came. @throws CommandError */
export async function download(world: World, from: string, url: string): Promise<string> {
  const file = join(world.scratch.directory, `download-${randomBytes(4).toString("hex")}`);
  try {
    await world.run(from, [
      "curl",
      "--silent",
      "--show-error",
      "--fail",
      "--max-time",
      "20",
      "-o",
      file,
      url,
    ]);
    return createHash("sha256")
      .update(await readFile(file))
      .digest("hex");
  } finally {
    await rm(file, { force: true });
  }
}

/** What came of many TCP connections at once. */
export interface ManyConnections {
  readonly connected: number;
  readonly intact: number;
  readonly failed: readonly string[];
}

/** Opens `count` TCP connections at once to a peer server and has each echo something. */
export const manyConnections = (
  world: World,
  from: string,
  to: string,
  port: number,
  count: number,
): Promise<ManyConnections> => runPeer(world, from, "tcp-client", "many", to, port, count);

/** Who answered some TCP connections made one after another. */
export interface Names {
  readonly names: Readonly<Record<string, number>>;
  /** Why connections were not made. */
  readonly failed: readonly string[];
  /** How connections ended that had been made, and were not answered. */
  readonly broken: readonly string[];
}

/** Makes `count` TCP connections, one after another, and asks each for its server's name. */
export const askNames = (
  world: World,
  from: string,
  to: string,
  port: number,
  count: number,
): Promise<Names> => runPeer(world, from, "tcp-client", "names", to, port, count);

/** What came of datagrams. */
export interface UdpReport {
  readonly sent: number;
  readonly answered: number;
  /** Answers whose payload was the one sent. */
  readonly intact: number;
  /** Who answered how often. */
  readonly names: Readonly<Record<string, number>>;
  /** "ADDRESS:PORT" the answers came from. */
  readonly sources: readonly string[];
  /** Flows that more than one name answered. */
  readonly split: number;
}

/** Sends `each` datagrams of `bytes` over each of `flows` sockets to `peers/udp serve`, which has `patienceMs` to answer. */
export const askUdp = (
  world: World,
  from: string,
  to: string,
  port: number,
  { flows = 1, each = 1, bytes = 16, patienceMs = 5_000 } = {},
): Promise<UdpReport> => runPeer(world, from, "udp", "ask", to, port, flows, each, bytes, patienceMs);
