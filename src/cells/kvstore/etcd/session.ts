import { randomUUID } from "node:crypto";
import { EtcdLeaseInvalidError, type ICompare, type IRangeResponse, type IRequestOp } from "etcd3";
import { KvCompactedError, KvLeaseLostError, KvStoreError, KvUnavailableError } from "../errors.ts";
import type {
  KvCompare,
  KvEntry,
  KvEvent,
  KvSession,
  KvSnapshot,
  KvTxn,
  KvTxnResult,
  KvWrite,
} from "../store.ts";
import { type EtcdClient, entryOf } from "./client.ts";
import { KeepAlive } from "./keep-alive.ts";
import { rangeOf } from "./keys.ts";
import type { AgentMemory } from "./memory.ts";
import { TombstoneLease } from "./tombstones.ts";
import { watchPrefix } from "./watch.ts";

/** Keys read at once; at some 200 bytes each, a page takes milliseconds. */
const pageSize = 2_000;
const epochKey = "epoch";

/** What a session needs to know of its agent. */
export interface SessionParts {
  readonly client: EtcdClient;
  /** "waggle/default/": everything of the cluster is below. */
  readonly root: string;
  readonly leaseTtlMs: number;
  readonly memory: AgentMemory;
}

/** A session with one etcd server. */
export class EtcdSession implements KvSession {
  readonly epoch: string;
  readonly revision: number;
  readonly lease: string;
  readonly #parts: SessionParts;
  readonly #ended = new AbortController();
  readonly #tombstones: TombstoneLease;
  #keepAlive: KeepAlive | undefined;

  private constructor(parts: SessionParts, hello: { epoch: string; revision: number }, lease: string) {
    this.#parts = parts;
    this.#tombstones = new TombstoneLease(parts.client);
    this.epoch = hello.epoch;
    this.revision = hello.revision;
    this.lease = lease;
  }

  /**
   * Connects, finds out which life of the store this is, and sees to a lease: the one the agent has, if it still
   * lives, or a new one.
   *
   * @throws KvStoreError; the client is closed then
   */
  static async open(parts: SessionParts): Promise<EtcdSession> {
    const { client, memory } = parts;
    try {
      const hello = await greet(parts);
      const lease = await currentLease(parts);
      const session = new EtcdSession(parts, hello, lease);
      session.#keepAlive = await KeepAlive.start(client, lease, parts.leaseTtlMs, (error) =>
        session.end(error),
      );
      memory.sawRevision(hello.revision);
      void session.#watchEpoch();
      return session;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  get endpoint(): string {
    return this.#parts.client.endpoint;
  }

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  /** Safe to repeat; the first reason counts. */
  end(reason: Error): void {
    if (this.signal.aborted) return;
    if (reason instanceof KvLeaseLostError) this.#parts.memory.lease = undefined;
    this.#keepAlive?.stop();
    this.#ended.abort(reason);
    this.#parts.client.close();
  }

  async list(prefix: string): Promise<KvSnapshot> {
    const { key: start, range_end } = rangeOf(this.#parts.root + prefix);
    const entries: KvEntry[] = [];
    let revision = 0;
    for (let key = start; ; ) {
      const page: IRangeResponse = await this.#guard(() =>
        // All pages as of the first one's revision.
        this.#parts.client.range({ key, range_end, limit: pageSize, revision }),
      );
      revision ||= Number(page.header.revision);
      for (const kv of page.kvs) entries.push(entryOf(kv, this.#parts.root));
      const last = page.kvs.at(-1)?.key;
      if (!page.more || last === undefined) return { revision, entries };
      key = Buffer.concat([last, Buffer.from([0])]);
    }
  }

  async txn({ when, write, otherwiseRead = [] }: KvTxn): Promise<KvTxnResult> {
    const { client, root, memory } = this.#parts;
    const leases = {
      lasting: "0",
      leased: this.lease,
      tombstone: write.some((op) => op.kind === "put" && op.lifetime === "tombstone")
        ? await this.#guard(() => this.#tombstones.get())
        : "0",
    };
    const request = {
      compare: when.map((compare) => compareOf(compare, root)),
      success: write.map((op) => writeOf(op, root, leases)),
      failure: otherwiseRead.map((key) => ({ request_range: { key: Buffer.from(root + key) } })),
    };
    const { succeeded, header, responses } = await this.#guard(() => client.txn(request));
    const revision = Number(header.revision);
    memory.sawRevision(revision);
    if (succeeded) return { succeeded, revision };
    const found = responses.map(({ response_range: { kvs } }) => kvs.map((kv) => entryOf(kv, root))[0]);
    return { succeeded, revision, found };
  }

  async watch(prefix: string, after: number, onEvents: (events: readonly KvEvent[]) => void): Promise<never> {
    const { client, root, memory } = this.#parts;
    const seen = (events: readonly KvEvent[]): void => {
      onEvents(events);
      const last = events.at(-1);
      if (last !== undefined) memory.sawRevision(last.kind === "put" ? last.entry.mod : last.mod);
    };
    return this.#guard(() => watchPrefix(client, root, prefix, after, seen, this.signal));
  }

  /** Someone who found the store set back starts a new life of it, and all begin anew. */
  async #watchEpoch(): Promise<void> {
    const changed = (): void =>
      this.end(
        new KvUnavailableError("follow", `etcd ${this.endpoint}`, "the store was replaced or set back"),
      );
    await this.watch(epochKey, this.revision, changed).catch((error: unknown) => {
      if (error instanceof KvCompactedError) changed();
    });
  }

  async #guard<T>(call: () => Promise<T>): Promise<T> {
    this.signal.throwIfAborted();
    try {
      return await call();
    } catch (error) {
      if (error instanceof KvStoreError && error.cause instanceof EtcdLeaseInvalidError) {
        const lost = new KvLeaseLostError(this.lease);
        this.end(lost);
        throw lost;
      }
      if (error instanceof KvUnavailableError) this.end(error);
      throw error;
    }
  }
}

/** The store's life and revision; begins a new life in a store that is empty or was set back. */
async function greet({ client, root, memory }: SessionParts): Promise<{ epoch: string; revision: number }> {
  const key = Buffer.from(root + epochKey);
  for (;;) {
    const { header, kvs } = await client.range({ key });
    const found = kvs[0];
    const revision = Number(header.revision);
    const epoch = found?.value.toString();
    // A life that this agent knows further than the store does was set back.
    if (epoch !== undefined && (epoch !== memory.epoch || revision >= memory.revision)) {
      await memory.enter(epoch, revision);
      return { epoch, revision };
    }
    await client.txn({
      compare: [{ key, target: "Mod", result: "Equal", mod_revision: found?.mod_revision ?? "0" }],
      success: [{ request_put: { key, value: Buffer.from(randomUUID()) } }],
    });
  }
}

/** The lease that this agent has, if the store still knows it, or a new one, remembered before it is used. */
async function currentLease({ client, leaseTtlMs, memory }: SessionParts): Promise<string> {
  if (memory.lease !== undefined) {
    try {
      (await KeepAlive.start(client, memory.lease, leaseTtlMs, () => {})).stop();
      return memory.lease;
    } catch (error) {
      if (!(error instanceof KvLeaseLostError)) throw error;
    }
  }
  const id = await client.grantLease(Math.ceil(leaseTtlMs / 1000));
  await memory.obtained(id);
  return id;
}

function compareOf(compare: KvCompare, root: string): ICompare {
  switch (compare.kind) {
    case "mod":
      return {
        key: Buffer.from(root + compare.key),
        target: "Mod",
        result: "Equal",
        mod_revision: compare.mod,
      };
    case "value":
      return {
        key: Buffer.from(root + compare.key),
        target: "Value",
        result: "Equal",
        value: Buffer.from(compare.value),
      };
    case "empty":
      // All keys of the range were created at 0: there are none.
      return { ...rangeOf(root + compare.prefix), target: "Create", result: "Equal", create_revision: 0 };
  }
}

function writeOf(
  op: KvWrite,
  root: string,
  leases: Readonly<Record<"lasting" | "leased" | "tombstone", string>>,
): IRequestOp {
  const key = Buffer.from(root + op.key);
  if (op.kind === "delete") return { request_delete_range: { key } };
  return { request_put: { key, value: Buffer.from(op.value), lease: leases[op.lifetime] } };
}
