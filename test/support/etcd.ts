import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { eventually } from "./eventually.ts";

const run = promisify(execFile);

/** Files for TLS on the client port, in PEM. */
export interface EtcdTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** A free port on loopback. Somebody else may take it before it is used, which shows as a failed start. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/**
 * An address of loopback that is hardly anybody else's. On 127.0.0.1 an etcd that is away for a while could find its port
 * taken: by another test's, or by a client that calls it and happens to get the very port to call from.
 */
const ownHost = (): string => `127.${randomInt(1, 255)}.${randomInt(0, 256)}.${randomInt(1, 255)}`;

/** A real etcd of one member on loopback, with its data in a temporary directory. */
export class EtcdServer {
  endpoint: string;
  readonly #directory: string;
  readonly #peers: string;
  readonly #tls: EtcdTls | undefined;
  #process: ChildProcess | undefined;

  private constructor(directory: string, endpoint: string, peers: string, tls: EtcdTls | undefined) {
    this.#directory = directory;
    this.endpoint = endpoint;
    this.#peers = peers;
    this.#tls = tls;
  }

  /** Starts one; `remove` it in the test's teardown. */
  static async start(options: { readonly tls?: EtcdTls } = {}): Promise<EtcdServer> {
    const directory = await mkdtemp(join(tmpdir(), "waggle-etcd-"));
    const host = ownHost();
    // Certificates of tests are good for 127.0.0.1 alone.
    const endpoint =
      options.tls === undefined ? `http://${host}:2379` : `https://127.0.0.1:${await freePort()}`;
    const server = new EtcdServer(directory, endpoint, `http://${host}:2380`, options.tls);
    await server.start();
    return server;
  }

  /** Starts it again where it was, after `kill`, and waits until it serves. */
  async start(): Promise<void> {
    const peers = this.#peers;
    const tls = this.#tls;
    const args = [
      ["--name", "test"],
      ["--data-dir", join(this.#directory, "data")],
      ["--listen-client-urls", this.endpoint],
      ["--advertise-client-urls", this.endpoint],
      ["--listen-peer-urls", peers],
      ["--initial-advertise-peer-urls", peers],
      ["--initial-cluster", `test=${peers}`],
      ["--log-level", "error"],
      // A test's etcd need not survive a power cut, and the disk is shared with many.
      ["--unsafe-no-fsync"],
      ...(tls === undefined
        ? []
        : [
            ["--cert-file", tls.cert],
            ["--key-file", tls.key],
            ["--trusted-ca-file", tls.ca],
            ["--client-cert-auth"],
          ]),
    ].flat();
    this.#process = spawn("etcd", args, { stdio: "ignore" });
    await eventually(
      "etcd serves",
      async () => {
        await this.ctl("endpoint", "health");
        return true;
      },
      60_000,
    );
  }

  /** Kills it as a crash would; its data stays. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }

  /** It hangs: connections stay, nothing is answered. */
  pause(): void {
    this.#process?.kill("SIGSTOP");
  }

  resume(): void {
    this.#process?.kill("SIGCONT");
  }

  /** Kills it and starts it with nothing in it but keys that nobody sees come. */
  async wipe(keys: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.kill();
    await rm(join(this.#directory, "data"), { recursive: true, force: true });
    if (Object.keys(keys).length > 0) {
      const endpoint = this.endpoint;
      this.endpoint = `${endpoint.slice(0, endpoint.lastIndexOf(":"))}:${await freePort()}`;
      await this.start();
      for (const [key, value] of Object.entries(keys)) await this.ctl("put", key, value);
      await this.kill();
      this.endpoint = endpoint;
    }
    await this.start();
  }

  /** Forgets all revisions before the newest. */
  async compact(): Promise<void> {
    const status = JSON.parse(await this.ctl("endpoint", "status", "-w", "json")) as [
      { Status: { header: { revision: number } } },
    ];
    await this.ctl("compact", "--physical", String(status[0].Status.header.revision));
  }

  /** Runs etcdctl on it; returns what it prints. */
  async ctl(...args: readonly string[]): Promise<string> {
    const tls = this.#tls;
    const files = tls === undefined ? [] : [`--cacert=${tls.ca}`, `--cert=${tls.cert}`, `--key=${tls.key}`];
    const { stdout } = await run("etcdctl", [`--endpoints=${this.endpoint}`, ...files, ...args], {
      env: { ...process.env, ETCDCTL_API: "3" },
    });
    return stdout;
  }

  /** Keys below a prefix. */
  async keys(prefix = "waggle/"): Promise<readonly string[]> {
    const out = await this.ctl("get", prefix, "--prefix", "--keys-only");
    return out.split("\n").filter((line) => line !== "");
  }

  /** Ends it and removes its data. */
  async remove(): Promise<void> {
    await this.kill();
    await rm(this.#directory, { recursive: true, force: true });
  }
}
