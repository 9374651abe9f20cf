// Peers in network namespaces, as seen from the test: one process a namespace, started when first needed.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Exchange, Listening, PeerRequest, PeerResponse } from "./peer-protocol.ts";

/** A peer that could not do what it was asked to, or could not be run. */
export class PeerError extends Error {
  /** The system's code where there is one: "ECONNREFUSED". */
  readonly code: string;

  constructor(what: string, code: string) {
    super(`${what}: ${code}`);
    this.name = "PeerError";
    this.code = code;
  }
}

const here = fileURLToPath(import.meta.url);
const program = join(dirname(here), `peer${here.endsWith(".ts") ? ".ts" : ".js"}`);

/** The argv that runs `argv` in the network namespace of this path. */
export const inNetns = (netns: string, argv: readonly string[]): readonly string[] => [
  "nsenter",
  `--net=${netns}`,
  "--",
  ...argv,
];

interface Waiting {
  readonly what: string;
  resolve(result: Listening | Exchange): void;
  reject(error: PeerError): void;
}

/** See above. Requests run side by side. */
export class Peer {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listening = new Map<string, Promise<Listening>>();
  #next = 1;
  #words = "";
  #ended: string | undefined;

  constructor(name: string, netns: string) {
    this.name = name;
    const argv = inNetns(netns, [process.execPath, "--disable-warning=ExperimentalWarning", program, name]);
    this.#child = spawn(argv[0]!, argv.slice(1), { stdio: ["pipe", "pipe", "pipe"] });
    this.#child.once("error", (error) => this.#end(error.message));
    this.#child.once("close", (code, signal) =>
      this.#end(this.#words.trim().split("\n").at(-1) || `ended (${signal ?? `exit code ${code}`})`),
    );
    this.#child.stderr!.setEncoding("utf8").on("data", (data: string) => {
      this.#words = (this.#words + data).slice(-2_000);
    });
    // Its end is told by "close".
    this.#child.stdin!.on("error", () => undefined);
    createInterface({ input: this.#child.stdout! }).on("line", (line) => this.#take(line));
  }

  #take(line: string): void {
    const { id, result, error } = JSON.parse(line) as PeerResponse;
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (result !== undefined) waiting?.resolve(result);
    else waiting?.reject(new PeerError(waiting.what, error ?? "it says nothing"));
  }

  #end(why: string): void {
    this.#ended = why;
    for (const { what, reject } of this.#waiting.values()) reject(new PeerError(what, why));
    this.#waiting.clear();
  }

  /** Has the peer do something. @throws PeerError */
  #ask(request: PeerRequest, what: string): Promise<Listening | Exchange> {
    if (this.#ended !== undefined)
      return Promise.reject(new PeerError(`the peer in ${this.name}`, this.#ended));
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { what, resolve, reject });
      this.#child.stdin!.write(`${JSON.stringify({ id, ...request })}\n`);
    });
  }

  /** Ports on which it serves an address; the same ones each time. @throws PeerError */
  listen(address: string): Promise<Listening> {
    let ports = this.#listening.get(address);
    if (ports === undefined) {
      ports = this.#ask(
        { do: "listen", address },
        `listening on ${address} in ${this.name}`,
      ) as Promise<Listening>;
      this.#listening.set(address, ports);
    }
    return ports;
  }

  /** Exchanges data with a peer that listens. @throws PeerError */
  exchange(request: Exclude<PeerRequest, { do: "listen" }>): Promise<Exchange> {
    return this.#ask(
      request,
      `${request.do} to ${request.address} port ${request.port}`,
    ) as Promise<Exchange>;
  }

  /** Ends the process. */
  async end(): Promise<void> {
    if (this.#child.pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null)
      return;
    const closed = once(this.#child, "close");
    this.#child.stdin!.end();
    this.#child.kill("SIGKILL");
    await closed;
  }
}

/** All peers of a test. */
export class Peers {
  readonly #peers = new Map<string, Peer>();

  /** The peer in a namespace. */
  in({ label, netns }: { readonly label: string; readonly netns: string }): Peer {
    let peer = this.#peers.get(netns);
    if (peer === undefined) {
      peer = new Peer(label, netns);
      this.#peers.set(netns, peer);
    }
    return peer;
  }

  /** Ends all. */
  async end(): Promise<void> {
    await Promise.all([...this.#peers.values()].map((peer) => peer.end()));
  }
}
