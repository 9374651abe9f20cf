// The etcd of a world of several nodes: one server, in the namespace of the underlay, where only the world sees it.

import type { ChildProcess } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { underlayNetwork } from "./addressing.ts";
import { CommandError, installed } from "./command.ts";
import { execIn } from "./namespaces.ts";
import { endChild, isRunning, logTail, startDaemon } from "./processes.ts";
import { mountMemory } from "./scratch.ts";
import type { Undo } from "./undo.ts";

/** etcd ended, or did not get ready; carries the last lines it wrote. */
export class EtcdError extends Error {
  constructor(what: string, log: string, cause?: unknown) {
    super(
      log === "" ? what : `${what}; its last words:\n${log}`,
      cause === undefined ? undefined : { cause },
    );
    this.name = "EtcdError";
  }
}

export interface EtcdSettings {
  /** Has a device with the address of `etcdEndpoint`. */
  readonly namespace: string;
  /** For its data and its log. */
  readonly directory: string;
}

/** Where clients in the world find it. */
export const etcdEndpoint = `http://${underlayNetwork.etcdIpv4}:2379`;

const peerUrl = "http://127.0.0.1:2380";
const startTimeoutMs = 60_000;
const stopGraceMs = 5_000;
const pollMs = 50;
/** Bytes its database may grow to before it refuses writes: a world that runs amok must not fill the disk. */
const quota = 256 * 1024 * 1024;
/** Bytes for that, for its log, of which it lays out 64 MiB at a time, and for snapshots. */
const memory = 4 * quota;

/** Asked from inside the namespace: nobody else can reach it. */
const askHealth = `
  const { health } = await (await fetch(process.argv[1], { signal: AbortSignal.timeout(1000) })).json();
  process.exit(health === "true" ? 0 : 1);
`;

/** A server that can be killed, frozen, and made to forget. */
export class EtcdServer {
  readonly log: string;
  readonly #settings: EtcdSettings;
  #child: ChildProcess | undefined;

  constructor(settings: EtcdSettings) {
    this.#settings = settings;
    this.log = join(settings.directory, "etcd.log");
  }

  get running(): boolean {
    return this.#child !== undefined && isRunning(this.#child);
  }

  get #dataDirectory(): string {
    return join(this.#settings.directory, "etcd", "data");
  }

  /**
   * Makes room for its data, in memory: what it writes need not outlive the world, and on a busy disk it would wait
   * for every write longer than its clients do. @throws CommandError
   */
  async prepare(undo: Undo): Promise<void> {
    await mountMemory(join(this.#settings.directory, "etcd"), memory, undo);
  }

  /** Starts it on the data it has, and waits until it answers. @throws EtcdError */
  async start(): Promise<void> {
    if (this.running) throw new EtcdError("etcd runs already", "");
    if (!(await installed("etcd"))) {
      throw new EtcdError("a world of several nodes needs etcd: install Debian's etcd-server", "");
    }
    await mkdir(this.#dataDirectory, { recursive: true, mode: 0o700 });
    const { namespace } = this.#settings;
    const argv = [
      ...["etcd", "--name", "waggle", "--data-dir", this.#dataDirectory],
      ...["--listen-client-urls", etcdEndpoint, "--advertise-client-urls", etcdEndpoint],
      ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
      ...["--initial-cluster", `waggle=${peerUrl}`],
      ...["--quota-backend-bytes", String(quota), "--log-level", "warn", "--logger", "zap"],
    ];
    this.#child = await startDaemon({ namespace, argv, log: this.log });
    const deadline = Date.now() + startTimeoutMs;
    while (!(await this.answers())) {
      const what = !this.running ? "etcd ended during its start" : "etcd did not answer in time";
      if (!this.running || Date.now() > deadline) {
        await this.kill();
        throw new EtcdError(what, await logTail(this.log));
      }
      await sleep(pollMs);
    }
  }

  /** Whether it takes part in consensus, which a frozen or unready one does not. */
  async answers(): Promise<boolean> {
    const argv = [process.execPath, "--input-type=module", "-e", askHealth, `${etcdEndpoint}/health`];
    return (await execIn(this.#settings.namespace, argv)).code === 0;
  }

  /** Ends it, by SIGKILL unless told otherwise; its data stays. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.#child === undefined) return;
    // A frozen process takes no other signal than SIGKILL.
    this.resume();
    await endChild(this.#child, signal, stopGraceMs);
  }

  /** Freezes it: connections stay, nothing is answered. */
  pause(): void {
    if (!this.running) throw new EtcdError("etcd does not run", "");
    this.#child!.kill("SIGSTOP");
  }

  /** Lets a frozen server go on. */
  resume(): void {
    if (this.running) this.#child!.kill("SIGCONT");
  }

  /** Ends it and starts it again with nothing, at revision 1. @throws EtcdError */
  async wipe(): Promise<void> {
    await this.kill();
    await rm(this.#dataDirectory, { recursive: true, force: true });
    await this.start();
  }

  /** Runs etcdctl (API version 3) in the world. @throws CommandError unless it ends with 0 */
  async ctl(...args: readonly string[]): Promise<string> {
    const argv = ["etcdctl", "--endpoints", etcdEndpoint, ...args];
    const result = await execIn(this.#settings.namespace, argv, { env: { ETCDCTL_API: "3" } });
    if (result.code !== 0) throw new CommandError(argv, result.stderr.trim(), result);
    return result.stdout;
  }

  /** For a process that is about to exit. */
  killNow(): void {
    this.#child?.kill("SIGKILL");
  }
}
