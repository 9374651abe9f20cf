// The kinds of traffic that a path is tested with. Each resolves to what was seen, in words, or throws CheckError.

import { isIPv6 } from "node:net";
import { attempt } from "../playground/command.ts";
import type { Exchange } from "./peer-protocol.ts";
import { inNetns, type Peer, PeerError } from "./peers.ts";

/** Traffic that did not do what it should; the message says what it did. */
export class CheckError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "CheckError";
  }
}

/** Whom to reach, and what must be true of it. */
export interface Target {
  readonly address: string;
  readonly port: number;
  /** Addresses one of which the server must see; any when empty. */
  readonly sources?: readonly string[];
  /** Name of the peer that must answer; any when left out. */
  readonly server?: string;
}

const tcpBytes = 4 * 1024 * 1024;
const tcpTimeoutMs = 15_000;
const udpTimeoutMs = 1_000;
const refusalTimeoutMs = 2_000;
/** Several fragments on every medium, and a size that ping(8) and UDP take alike. */
const largeBytes = 8_000;
const udpCount = 4;

/** Bytes of IP and ICMP headers before the data of an echo request. */
const echoHeaders = (address: string): number => (isIPv6(address) ? 48 : 28);

function judge({ server, source, problem }: Exchange, target: Target): string {
  if (problem !== "") throw new CheckError(problem);
  if (target.server !== undefined && server !== target.server)
    throw new CheckError(`${server} answered in the place of ${target.server}`);
  const { sources = [] } = target;
  if (sources.length > 0 && !sources.includes(source))
    throw new CheckError(`it was seen as ${source}, not as ${sources.join(" or ")}`);
  return `seen as ${source}`;
}

async function exchanged(ask: Promise<Exchange>): Promise<Exchange> {
  try {
    return await ask;
  } catch (error) {
    throw error instanceof PeerError ? new CheckError(error.message, error) : error;
  }
}

/** 4 MiB there and 4 MiB back over one TCP connection, compared by SHA-256. @throws CheckError */
export async function checkTcp(client: Peer, target: Target): Promise<string> {
  const { address, port } = target;
  const request = { do: "tcp", address, port, bytes: tcpBytes, timeoutMs: tcpTimeoutMs } as const;
  return judge(await exchanged(client.exchange(request)), target);
}

/** Datagrams that are echoed, each of them. @throws CheckError */
export async function checkUdp(client: Peer, target: Target): Promise<string> {
  const { address, port } = target;
  const request = { do: "udp", address, port, bytes: 512, count: udpCount, timeoutMs: udpTimeoutMs } as const;
  const exchange = await exchanged(client.exchange(request));
  if (exchange.lost > 0) throw new CheckError(`${exchange.lost} of ${udpCount} datagrams without an answer`);
  return judge(exchange, target);
}

/** Datagrams that travel in fragments. The first may be what finds out the path's MTU. @throws CheckError */
export async function checkUdpFragments(client: Peer, target: Target): Promise<string> {
  const { address, port } = target;
  const request = { do: "udp", address, port, bytes: largeBytes, timeoutMs: udpTimeoutMs } as const;
  await client.exchange({ ...request, count: 1, timeoutMs: udpTimeoutMs / 2 }).catch((error: unknown) => {
    if (!(error instanceof PeerError)) throw error;
  });
  const exchange = await exchanged(client.exchange({ ...request, count: udpCount }));
  if (exchange.lost > 0)
    throw new CheckError(
      `${exchange.lost} of ${udpCount} datagrams of ${largeBytes} bytes without an answer`,
    );
  return judge(exchange, target);
}

interface Echoes {
  readonly received: number;
  /** An MTU that somebody on the path, or the sender's own stack, has told. */
  readonly mtu: number | undefined;
  /** What ping said beside answers. */
  readonly complaint: string;
}

async function ping(
  netns: string,
  address: string,
  {
    count = 3,
    ...options
  }: { readonly count?: number; readonly flags?: readonly string[]; readonly signal: AbortSignal },
): Promise<Echoes> {
  const { flags = [], signal } = options;
  const argv = ["ping", "-n", "-c", String(count), "-i", "0.05", "-W", "1", ...flags, address];
  const { stdout, stderr } = await attempt(inNetns(netns, argv), { signal, timeoutMs: 20_000 });
  const received = / (\d+) received/.exec(stdout)?.[1];
  if (received === undefined) throw new CheckError(`ping: ${(stderr || stdout).trim().split("\n").at(-1)}`);
  const said = `${stdout}\n${stderr}`;
  const mtu = /mtu\s*[:=]\s*(\d+)/i.exec(said)?.[1];
  return {
    received: Number(received),
    mtu: mtu === undefined ? undefined : Number(mtu),
    complaint: /^(?:From |ping: ).*$/m.exec(said)?.[0] ?? "",
  };
}

/** Echo requests that are answered, each of them. @throws CheckError */
export async function checkIcmp(netns: string, address: string, signal: AbortSignal): Promise<string> {
  const { received, complaint } = await ping(netns, address, { signal });
  if (received !== 3)
    throw new CheckError(
      `${3 - received} of 3 echo requests without an answer${complaint && `: ${complaint}`}`,
    );
  return "3 answers";
}

/** Echo requests that travel in fragments, as do their answers. @throws CheckError */
export async function checkIcmpFragments(
  netns: string,
  address: string,
  signal: AbortSignal,
): Promise<string> {
  const flags = ["-s", String(largeBytes)];
  // It may be what finds out the path's MTU.
  await ping(netns, address, { count: 1, flags, signal });
  const { received, complaint } = await ping(netns, address, { flags, signal });
  if (received !== 3) {
    throw new CheckError(
      `${3 - received} of 3 echo requests of ${largeBytes} bytes without an answer${complaint && `: ${complaint}`}`,
    );
  }
  return "3 answers";
}

/** MTU of the device that packets to this address leave through. */
async function deviceMtu(netns: string, address: string): Promise<number> {
  const ip = async (...args: readonly string[]): Promise<unknown> => {
    const { stdout, stderr, code } = await attempt(inNetns(netns, ["ip", "-j", ...args]));
    if (code !== 0) throw new CheckError(`ip ${args.join(" ")}: ${stderr.trim()}`);
    return JSON.parse(stdout);
  };
  const [route] = (await ip("route", "get", address)) as { readonly dev?: string }[];
  if (route?.dev === undefined) throw new CheckError(`there is no route to ${address}`);
  const [link] = (await ip("link", "show", "dev", route.dev)) as { readonly mtu: number }[];
  return link!.mtu;
}

/**
 * Path MTU discovery: a packet as large as the device takes either arrives or is answered with the size that would;
 * one of that size arrives; one that is a byte larger meets an error and not silence. @throws CheckError
 */
export async function checkMtu(netns: string, address: string, signal: AbortSignal): Promise<string> {
  const whole = (bytes: number) => ["-M", "do", "-s", String(bytes - echoHeaders(address))];
  const largest = await deviceMtu(netns, address);
  const first = await ping(netns, address, { count: 2, flags: whole(largest), signal });
  const limit = first.received > 0 ? largest : first.mtu;
  if (limit === undefined)
    throw new CheckError(`packets of ${largest} bytes vanish, and nobody says what size would not`);
  if (limit > largest) throw new CheckError(`an error speaks of ${limit} bytes to a sender of ${largest}`);
  const fitting = await ping(netns, address, { count: 2, flags: whole(limit), signal });
  if (fitting.received === 0)
    throw new CheckError(`packets of ${limit} bytes vanish, the size that was told`);
  const larger = await ping(netns, address, { count: 2, flags: whole(limit + 1), signal });
  if (larger.received > 0)
    throw new CheckError(`packets of ${limit + 1} bytes arrive, though ${limit} was told`);
  if (larger.mtu === undefined) throw new CheckError(`packets of ${limit + 1} bytes vanish without an error`);
  return `${limit} bytes`;
}

/** A connection that is refused at once, where nobody can take it. @throws CheckError */
export async function checkRefused(client: Peer, { address, port }: Target): Promise<string> {
  const begun = performance.now();
  try {
    const request = { do: "tcp", address, port, bytes: 1, timeoutMs: refusalTimeoutMs } as const;
    await client.exchange(request);
  } catch (error) {
    if (!(error instanceof PeerError)) throw error;
    const ms = Math.round(performance.now() - begun);
    if (/ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ECONNRESET/.test(error.code))
      return `${error.code} after ${ms} ms`;
    throw new CheckError(`the connection is not refused at once: ${error.code}`, error);
  }
  throw new CheckError("somebody answered");
}

/** Traffic that must not arrive. @throws CheckError */
export async function checkIsolated(netns: string, address: string, signal: AbortSignal): Promise<string> {
  const { received } = await ping(netns, address, { signal });
  if (received > 0) throw new CheckError(`${received} of 3 echo requests were answered, and none should be`);
  return "no answer, as configured";
}
