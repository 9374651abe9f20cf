import { setTimeout as sleepFor } from "node:timers/promises";
import { asError, KvUnavailableError } from "../errors.ts";
import { type KvEntry, type KvSession, type KvWrite, maxTxnOps } from "../store.ts";
import type { RemoteEntry, Step } from "./local-side.ts";
import { encodeRecord } from "./record.ts";

/** One transaction's values together; etcd takes requests of 1.5 MiB by default. */
const maxBatchBytes = 512 * 1024;
/** How long a write that the store refused, as for want of space, waits for the next try. */
const retryMs = 5_000;

export interface PusherParts<T> {
  readonly prefix: string;
  /** What the store has, as far as known. */
  remote(key: string): RemoteEntry<T> | undefined;
  step(key: string, remote: RemoteEntry<T> | undefined, lease: string): Step<T>;
  /** @throws when the text makes no sense */
  read(entry: KvEntry): RemoteEntry<T>;
  /** The store now has these, or nothing, at the revision. */
  onPushed(pushed: ReadonlyMap<string, RemoteEntry<T> | undefined>, revision: number): void;
  /** Called when what `problems` has changes. */
  onProblems(): void;
}

/** A write on its way. */
interface Push<T> {
  readonly key: string;
  readonly write: KvWrite;
  readonly expected: number;
  readonly record: (Step<T> & { kind: "put" })["record"] | undefined;
  readonly bytes: number;
}

/**
 * Brings a collection's keys in the store in line with what this node says of them. One transaction is under way at a
 * time, so each key's changes arrive in order; a key changed many times meanwhile is written once. Each write is made
 * on condition that the key is as known; otherwise what is there is looked at, and the decision made anew.
 */
export class Pusher<T> {
  readonly #parts: PusherParts<T>;
  readonly #dirty = new Set<string>();
  /** What a failed condition has shown, ahead of the watch. */
  readonly #found = new Map<string, RemoteEntry<T> | undefined>();
  readonly #refused = new Map<string, Error>();
  readonly #held = new Map<string, string>();
  #wake: (() => void) | undefined;

  constructor(parts: PusherParts<T>) {
    this.#parts = parts;
  }

  /** Keys that other nodes have, with their names. */
  get held(): ReadonlyMap<string, string> {
    return this.#held;
  }

  /** Keys that the store refused to write, and why. */
  get refused(): ReadonlyMap<string, Error> {
    return this.#refused;
  }

  /** What this node says of the keys, or what the store has of them, may have changed. */
  touch(keys: Iterable<string>): void {
    for (const key of keys) {
      this.#found.delete(key);
      this.#dirty.add(key);
    }
    if (this.#dirty.size > 0) this.#wake?.();
  }

  /** Pushes until the session ends; rejects with why it ended. */
  async run(session: KvSession): Promise<never> {
    this.#found.clear();
    let limit = maxTxnOps;
    for (;;) {
      const batch = this.#batch(session.lease, limit);
      if (batch.length === 0) {
        await this.#waitForWork(session.signal);
        continue;
      }
      try {
        const done = await this.#push(session, batch);
        // One contended key must not make others fail again and again.
        limit = done ? Math.min(maxTxnOps, limit * 2) : Math.max(1, limit >> 2);
      } catch (error) {
        if (error instanceof KvUnavailableError || session.signal.aborted) throw error;
        limit = 1;
        if (batch.length === 1) this.#refuse(batch[0]!.key, asError(error), session.signal);
      }
    }
  }

  async #push(session: KvSession, batch: readonly Push<T>[]): Promise<boolean> {
    const full = (key: string): string => this.#parts.prefix + key;
    const result = await session.txn({
      when: batch.map(({ key, expected }) => ({ kind: "mod", key: full(key), mod: expected })),
      write: batch.map(({ write }) => write),
      otherwiseRead: batch.map(({ key }) => full(key)),
    });
    if (!result.succeeded) {
      batch.forEach(({ key }, index) => {
        const found = result.found[index];
        this.#found.set(key, found === undefined ? undefined : this.#read(found));
      });
      return false;
    }
    const pushed = new Map<string, RemoteEntry<T> | undefined>();
    for (const { key, write, record } of batch) {
      this.#found.delete(key);
      if (this.#refused.delete(key)) this.#parts.onProblems();
      const put = write.kind === "put" && record !== undefined;
      pushed.set(
        key,
        put ? { record, text: write.value, mod: result.revision, lease: leaseOf(write, session) } : undefined,
      );
    }
    // They stay dirty, for they may have been changed meanwhile: the next look at them decides.
    this.#parts.onPushed(pushed, result.revision);
    return true;
  }

  /** What has to be written next; keys without anything to do stop being dirty. */
  #batch(lease: string, limit: number): readonly Push<T>[] {
    const batch: Push<T>[] = [];
    let bytes = 0;
    for (const key of this.#dirty) {
      if (batch.length === limit || bytes >= maxBatchBytes) break;
      const remote = this.#found.has(key) ? this.#found.get(key) : this.#parts.remote(key);
      const step = this.#parts.step(key, remote, lease);
      this.#hold(key, step.kind === "held" ? step.by : undefined);
      if (step.kind === "nothing" || step.kind === "held") {
        this.#dirty.delete(key);
        continue;
      }
      const push = this.#pushOf(key, step, remote?.mod ?? 0);
      batch.push(push);
      bytes += push.bytes;
    }
    return batch;
  }

  #pushOf(key: string, step: Step<T> & { kind: "put" | "delete" }, expected: number): Push<T> {
    const full = this.#parts.prefix + key;
    if (step.kind === "delete") {
      return { key, write: { kind: "delete", key: full }, expected, record: undefined, bytes: full.length };
    }
    const value = encodeRecord(step.record);
    const write = { kind: "put", key: full, value, lifetime: step.lifetime } as const;
    return { key, write, expected, record: step.record, bytes: full.length + value.length };
  }

  #read(entry: KvEntry): RemoteEntry<T> | undefined {
    try {
      return this.#parts.read(entry);
    } catch {
      // Nonsense that somebody wrote there: replaced by what makes sense, if it is still the same.
      return {
        record: { deleted: true, node: "unknown", time: 0 },
        text: entry.value,
        mod: entry.mod,
        lease: entry.lease,
      };
    }
  }

  #hold(key: string, by: string | undefined): void {
    if (this.#held.get(key) === by) return;
    if (by === undefined) this.#held.delete(key);
    else this.#held.set(key, by);
    this.#parts.onProblems();
  }

  #refuse(key: string, error: Error, signal: AbortSignal): void {
    this.#dirty.delete(key);
    this.#refused.set(key, error);
    this.#parts.onProblems();
    sleepFor(retryMs, undefined, { signal, ref: false }).then(
      () => this.touch([key]),
      () => undefined, // The next session pushes everything anyway.
    );
  }

  #waitForWork(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(asError(signal.reason));
      const onAbort = (): void => reject(asError(signal.reason));
      signal.addEventListener("abort", onAbort, { once: true });
      this.#wake = () => {
        this.#wake = undefined;
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
    });
  }
}

const leaseOf = (write: KvWrite & { kind: "put" }, session: KvSession): string =>
  write.lifetime === "leased" ? session.lease : "0";
