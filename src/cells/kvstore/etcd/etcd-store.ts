import { setTimeout as sleepFor } from "node:timers/promises";
import { BehaviorSubject, type Observable } from "rxjs";
import type { Logger } from "../../../hive/index.ts";
import { asError, KvLeaseLostError } from "../errors.ts";
import type { KvSession, KvStatus, KvStore } from "../store.ts";
import type { TlsFiles } from "./client.ts";
import type { AgentMemory } from "./memory.ts";
import type { EtcdSession } from "./session.ts";

/** Connecting, and every call, must be answered within this. */
const callTimeoutMs = 5_000;
/** Between rounds over all endpoints: doubles from the first to the second. */
const firstPauseMs = 100;
/** Upper bound of the pause between rounds, and so of how long this agent takes to notice that the store is back. */
export const longestPauseMs = 3_000;
const saveRevisionMs = 10_000;
/** A session that ends sooner counts as a failed try, so that a server that refuses at once is not besieged. */
const soundSessionMs = 1_000;

export interface EtcdStoreParts {
  /** "http://…" or "https://…", at least one. */
  readonly endpoints: readonly string[];
  readonly tls: TlsFiles;
  readonly root: string;
  readonly leaseTtlMs: number;
  readonly memory: AgentMemory;
  readonly log: Logger;
}

/** Sessions with etcd, one after the other: when one ends the next is tried for, endpoint by endpoint. */
export class EtcdStore implements KvStore {
  readonly leaseTtlMs: number;
  readonly #parts: EtcdStoreParts;
  readonly #sessions = new BehaviorSubject<EtcdSession | undefined>(undefined);
  readonly #status = new BehaviorSubject<KvStatus>({ state: "connecting", since: new Date() });
  readonly #stopped = new AbortController();
  #running: Promise<void> | undefined;
  #saving: NodeJS.Timeout | undefined;

  constructor(parts: EtcdStoreParts) {
    this.#parts = parts;
    this.leaseTtlMs = parts.leaseTtlMs;
  }

  isOwnLease(lease: string): boolean {
    return this.#parts.memory.isOwn(lease);
  }

  get sessions(): Observable<KvSession | undefined> {
    return this.#sessions.asObservable();
  }

  get status(): Observable<KvStatus> {
    return this.#status.asObservable();
  }

  /** Begins to connect. */
  start(): void {
    this.#running = this.#run();
    const { memory, log } = this.#parts;
    const save = async (): Promise<void> => {
      await memory
        .saveRevision()
        .catch((err: unknown) => log.warn({ err }, "cannot store the store's revision"));
    };
    this.#saving = setInterval(() => void save(), saveRevisionMs).unref();
  }

  /**
   * Ends the session. The lease is left to run out, so an agent that comes back in time finds everything as it was.
   *
   * @throws StateWriteError when the revision cannot be stored
   */
  async stop(): Promise<void> {
    clearInterval(this.#saving);
    this.#stopped.abort(new Error("the agent stops"));
    this.#sessions.value?.end(asError(this.#stopped.signal.reason));
    await this.#running;
    await this.#parts.memory.saveRevision();
  }

  async #run(): Promise<void> {
    const { endpoints } = this.#parts;
    let failures = 0;
    for (let turn = 0; !this.#stopped.signal.aborted; turn += 1) {
      try {
        // An agent that stops does not wait for a server that does not answer.
        const connecting = this.#connect(endpoints[turn % endpoints.length]!);
        const session = await unlessAborted(connecting, this.#stopped.signal);
        const began = performance.now();
        this.#status.next({ state: "connected", since: new Date(), endpoint: session.endpoint });
        this.#sessions.next(session);
        const reason = await ended(session);
        this.#sessions.next(undefined);
        if (this.#stopped.signal.aborted) break;
        // A lost lease says nothing against the server: go on with it.
        if (reason instanceof KvLeaseLostError) turn -= 1;
        if (performance.now() - began < soundSessionMs) throw reason;
        failures = 0;
        this.#lost(reason);
      } catch (error) {
        if (this.#stopped.signal.aborted) break;
        failures += 1;
        const all = failures % endpoints.length === 0;
        // Before the first contact one server that does not answer means little.
        if (all || this.#status.value.state !== "connecting") this.#lost(asError(error));
        if (all) await this.#pause(failures / endpoints.length);
      }
    }
    this.#sessions.complete();
    this.#status.complete();
  }

  async #connect(endpoint: string): Promise<EtcdSession> {
    const { tls, root, leaseTtlMs, memory } = this.#parts;
    // A hundred modules that an agent without etcd does not load.
    const [{ EtcdClient }, { EtcdSession }] = await Promise.all([
      import("./client.ts"),
      import("./session.ts"),
    ]);
    const client = await EtcdClient.create(endpoint, tls, callTimeoutMs);
    const session = await EtcdSession.open({ client, root, leaseTtlMs, memory });
    // Stopped meanwhile: nobody else would end it.
    if (this.#stopped.signal.aborted) session.end(asError(this.#stopped.signal.reason));
    return session;
  }

  #lost(reason: Error): void {
    const { state, since } = this.#status.value;
    this.#status.next({ state: "away", since: state === "away" ? since : new Date(), reason });
  }

  async #pause(rounds: number): Promise<void> {
    const pause = Math.min(longestPauseMs, firstPauseMs * 2 ** (rounds - 1));
    // Up to half of it at random, so that the agents of a cluster do not come back in step.
    const delay = pause * (1 - Math.random() / 2);
    await sleepFor(delay, undefined, { signal: this.#stopped.signal }).catch(() => undefined);
  }
}

/** Waits for the work unless the signal aborts first; rejects with its reason then, and nobody minds the work's end. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(asError(signal.reason));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

const ended = ({ signal }: KvSession): Promise<Error> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(asError(signal.reason));
    else signal.addEventListener("abort", () => resolve(asError(signal.reason)), { once: true });
  });
