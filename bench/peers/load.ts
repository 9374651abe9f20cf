// Load from kept tools, and what they measured. Every run is bounded in time.

import { run } from "../../src/playground/command.ts";
import { inNamespace } from "../../src/playground/namespaces.ts";
import { onCore } from "./cores.ts";
import { ports } from "./servers.ts";

/** Who sends to whom. */
export interface Way {
  /** Namespace that sends. */
  readonly from: string;
  readonly to: string;
  /** Of HTTP, where it is not the server's own. */
  readonly port?: number;
}

interface IperfEnd {
  readonly end: {
    readonly sum_received: { readonly bits_per_second: number };
    readonly sum: { readonly packets: number; readonly lost_packets: number; readonly seconds: number };
  };
}

/** What a program prints that runs in a namespace, on the core of clients, for so many seconds. */
const load = (namespace: string, seconds: number, argv: readonly string[]): Promise<string> =>
  run(inNamespace(namespace, onCore("client", argv)), { timeoutMs: seconds * 1_000 + 20_000 });

async function iperf3({ from, to }: Way, seconds: number, ...args: readonly string[]): Promise<IperfEnd> {
  const text = await load(from, seconds, [
    ...["iperf3", "--client", to, "--port", `${ports.iperf3}`],
    ...["--json", "--time", `${seconds}`, ...args],
  ]);
  return JSON.parse(text) as IperfEnd;
}

/** TCP throughput in Gbit/s, one stream, as received. */
export async function tcpThroughput(way: Way, seconds: number): Promise<number> {
  return (await iperf3(way, seconds)).end.sum_received.bits_per_second / 1e9;
}

/** UDP datagrams of 64 bytes a second that arrived, sent as fast as one core can. */
export async function udpPackets(way: Way, seconds: number): Promise<number> {
  const { sum } = (await iperf3(way, seconds, "--udp", "--bitrate", "0", "--length", "64")).end;
  return (sum.packets - sum.lost_packets) / sum.seconds;
}

/** Requests and responses one after the other over one TCP connection. */
export interface RequestResponse {
  readonly ratePerSecond: number;
  /** Round-trip times in microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

export async function tcpRequestResponse({ from, to }: Way, seconds: number): Promise<RequestResponse> {
  const text = await load(from, seconds, [
    ...["sockperf", "ping-pong", "--tcp", "-i", to, "-p", `${ports.sockperf}`],
    ...["-m", "64", "-t", `${Math.max(1, Math.round(seconds))}`, "--full-rtt"],
  ]);
  const figure = (pattern: RegExp, what: string): number => {
    const match = pattern.exec(text);
    if (match === null) throw new Error(`sockperf said nothing of ${what}:\n${text.slice(-1_000)}`);
    return Number(match[1]);
  };
  // Its warm-up and its last moments are left out of this line.
  const received = figure(/Valid Duration\].*ReceivedMessages=(\d+)/, "received messages");
  const runTime = figure(/Valid Duration\] RunTime=([\d.]+) sec/, "its run time");
  return {
    ratePerSecond: received / runTime,
    p50: figure(/percentile 50\.000 =\s+([\d.]+)/, "the median"),
    p99: figure(/percentile 99\.000 =\s+([\d.]+)/, "the 99th percentile"),
    p999: figure(/percentile 99\.900 =\s+([\d.]+)/, "the 99.9th percentile"),
  };
}

async function wrk(
  { from, to, port = ports.http }: Way,
  seconds: number,
  ...args: readonly string[]
): Promise<number> {
  const duration = `${Math.max(1, Math.round(seconds))}s`;
  const text = await load(from, seconds, [
    ...["wrk", "--threads", "1", "--connections", "16", "--duration", duration],
    ...[...args, `http://${to}:${port}/`],
  ]);
  const match = /^Requests\/sec:\s+([\d.]+)/m.exec(text);
  if (match === null || Number(match[1]) === 0) throw new Error(`wrk saw no answers:\n${text}`);
  return Number(match[1]);
}

/** HTTP requests a second, each over a TCP connection of its own, 16 at a time. */
export const connectRate = (way: Way, seconds: number): Promise<number> =>
  wrk(way, seconds, "--header", "Connection: close");

/** HTTP requests a second over 16 TCP connections that stay. */
export const requestRate = (way: Way, seconds: number): Promise<number> => wrk(way, seconds);
