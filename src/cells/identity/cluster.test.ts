// What a node holds of the cluster's numbers, against a store whose replies are as late as they like.

import test from "ava";
import { silentLogger } from "../../hive/index.ts";
import { Database } from "../../table/index.ts";
import { type KvEntry, type KvSession, type KvTxn, Replica } from "../kvstore/index.ts";
import type { StateCollection } from "../state/index.ts";
import { ClusterIdentities } from "./cluster.ts";
import { canonicalLabels } from "./labels.ts";
import { decodeNumber, type NumberRecord, numbersPrefix } from "./ledger.ts";
import { labelsDigest } from "./range.ts";
import { identityTable } from "./select.ts";

const node = "b";
const labels = { app: "web" };
const id = 4_711;
const holder = `identities/holders/${id}/${node}`;

/** A disk that is never read again. */
const nowhere = <T>(): StateCollection<T> => ({
  all: () => [],
  get: () => undefined,
  put: async () => undefined,
  delete: async () => undefined,
});

/** A store that another node has written the number to. */
class Store implements KvSession {
  readonly endpoint = "memory";
  readonly epoch = "1";
  readonly revision = 1;
  readonly lease = "1";
  readonly signal = new AbortController().signal;
  readonly keys = new Map([
    [`${numbersPrefix}${id}`, JSON.stringify({ labels })],
    [`identities/labels/${labelsDigest(canonicalLabels(labels))}`, String(id)],
  ]);
  /** What replies to transactions wait for. */
  replies = Promise.resolve();

  async list(prefix: string) {
    const entries = [...this.keys]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, value]): KvEntry => ({ key, value, mod: 1, lease: "0" }));
    return { revision: this.revision, entries };
  }

  async txn({ when, write }: KvTxn) {
    if (!when.every((one) => this.#holds(one))) throw new Error("nothing here is in doubt");
    for (const one of write) {
      if (one.kind === "put") this.keys.set(one.key, one.value);
      else this.keys.delete(one.key);
    }
    await this.replies;
    return { succeeded: true, revision: this.revision } as const;
  }

  watch(): Promise<never> {
    return new Promise(() => undefined);
  }

  #holds(one: KvTxn["when"][number]): boolean {
    if (one.kind === "value") return this.keys.get(one.key) === one.value;
    if (one.kind === "mod") return this.keys.has(one.key) === one.mod > 0;
    return ![...this.keys.keys()].some((key) => key.startsWith(one.prefix));
  }
}

test("a number that is being taken is not let go of, however late the store's reply is", async (t) => {
  const identities = new ClusterIdentities({
    node,
    table: new Database().createTable(identityTable),
    log: silentLogger,
    replica: (onChange) =>
      new Replica<NumberRecord>({
        prefix: numbersPrefix,
        entries: nowhere(),
        positions: nowhere(),
        decode: decodeNumber,
        settleMs: 0,
        leased: false,
        onChange,
        onDiskError: (error) => t.fail(error.message),
      }),
    onUnsettled: () => undefined,
  });
  const store = new Store();
  await new Promise<void>((current) => void identities.follow(store, current));
  let reply = (): void => undefined;
  store.replies = new Promise((resolve) => {
    reply = resolve;
  });

  const taken = identities.acquire(labels);
  while (!store.keys.has(holder)) await new Promise(setImmediate);
  const collected = identities.collect(0);
  // As far as it comes without a reply.
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
  reply();
  t.is((await taken).id, id);
  t.deepEqual(await collected, []);
  t.true(store.keys.has(holder), "the store knows that it is held");

  await identities.release(id);
  while (store.keys.has(holder)) await new Promise(setImmediate);
  store.keys.set(holder, "");
  t.deepEqual(await identities.collect(60_000), []);
  t.false(store.keys.has(holder), "what nobody here uses is let go of");
});
