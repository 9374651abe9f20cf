import test, { type ExecutionContext } from "ava";
import { ipcacheMap } from "../../datapath/maps/index.ts";
import { Database, Reconciler } from "../../table/index.ts";
import { entryStatus, rowPerEntry } from "./entry-states.ts";

interface Row {
  readonly prefix: string;
  readonly identity: number;
}

/** A table whose rows fail or wait as told. */
function make(t: ExecutionContext) {
  const failing = new Set<string>();
  let gate: Promise<void> = Promise.resolve();
  const table = new Database().createTable<Row, string>({ name: "rows", key: ({ prefix }) => prefix });
  const act = async (rows: readonly Row[]) => {
    await gate;
    return rows.map(({ prefix }) => (failing.has(prefix) ? new Error(`${prefix} does not fit`) : undefined));
  };
  const reconciler = new Reconciler<Row, string>({
    name: "rows",
    table,
    retryMinMs: 60_000,
    ops: { update: act, delete: act, prune: async () => ({ removed: 0 }) },
  });
  t.teardown(() => reconciler.stop());
  const map = rowPerEntry({
    spec: ipcacheMap,
    table,
    reconciler,
    rowKey: ({ prefix }) => prefix,
    entry: ({ prefix, identity }) => [
      { prefix },
      { identity, tunnelEndpoint: "0.0.0.0", encryptKey: 0, flags: 0 },
    ],
  });
  const keyOf = (prefix: string): Buffer => {
    const key = Buffer.alloc(ipcacheMap.keySize);
    ipcacheMap.key.encode({ prefix }, key, 0);
    return key;
  };
  const block = (): (() => void) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    gate = promise;
    t.teardown(resolve);
    return resolve;
  };
  return {
    table,
    reconciler,
    failing,
    block,
    status: (prefix: string) => map.look().status(keyOf(prefix)),
    outstanding: () =>
      map
        .look()
        .outstanding()
        .map(({ key, value, status }) => ({
          prefix: ipcacheMap.key.decode(key, 0).prefix,
          identity: ipcacheMap.value.decode(value, 0).identity,
          status,
        })),
  };
}

test("an entry is in sync once its row is in place, and stale when nobody wants it", async (t) => {
  const { table, reconciler, status, outstanding } = make(t);
  reconciler.start();
  await reconciler.waitReconciled(table.upsert({ prefix: "10.0.0.1/32", identity: 300 }));
  t.deepEqual(status("10.0.0.1/32"), { state: "sync" });
  t.deepEqual(status("10.0.0.2/32"), { state: "stale" });
  t.deepEqual(outstanding(), []);
});

test("an entry is pending until its newest row is in place", async (t) => {
  const { table, reconciler, block, status, outstanding } = make(t);
  reconciler.start();
  await reconciler.waitReconciled(table.upsert({ prefix: "10.0.0.1/32", identity: 300 }));
  const release = block();
  const revision = table.upsert({ prefix: "10.0.0.1/32", identity: 301 });
  t.deepEqual(status("10.0.0.1/32"), { state: "pending" });
  t.deepEqual(outstanding(), [{ prefix: "10.0.0.1/32", identity: 301, status: { state: "pending" } }]);
  release();
  await reconciler.waitReconciled(revision);
  t.deepEqual(status("10.0.0.1/32"), { state: "sync" });
});

test("an entry that could not be written tells why, and is outstanding", async (t) => {
  const { table, reconciler, failing, status, outstanding } = make(t);
  failing.add("10.0.0.2/32");
  reconciler.start();
  table.upsert({ prefix: "10.0.0.1/32", identity: 300 });
  const revision = table.upsert({ prefix: "10.0.0.2/32", identity: 301 });
  await t.throwsAsync(reconciler.waitReconciled(revision));
  const failed = { state: "pending", error: "10.0.0.2/32 does not fit" } as const;
  t.deepEqual(status("10.0.0.2/32"), failed);
  t.deepEqual(status("10.0.0.1/32"), { state: "sync" });
  t.deepEqual(outstanding(), [{ prefix: "10.0.0.2/32", identity: 301, status: failed }]);
});

test("an entry that could not be deleted is stale and tells why", async (t) => {
  const { table, reconciler, failing, status, outstanding } = make(t);
  reconciler.start();
  await reconciler.waitReconciled(table.upsert({ prefix: "10.0.0.1/32", identity: 300 }));
  failing.add("10.0.0.1/32");
  table.delete("10.0.0.1/32");
  await t.throwsAsync(reconciler.waitReconciled(table.revision));
  t.deepEqual(status("10.0.0.1/32"), { state: "stale", error: "10.0.0.1/32 does not fit" });
  t.deepEqual(outstanding(), []);
});

test("until all rows are back, an entry without one is not called stale", (t) => {
  const { table, status } = make(t);
  const restored = table.registerInitializer("disk");
  t.deepEqual(status("10.0.0.1/32"), { state: "pending" });
  restored();
  t.deepEqual(status("10.0.0.1/32"), { state: "stale" });
});

test("a row that is being refreshed is in place", (t) => {
  t.deepEqual(entryStatus({ kind: "refreshing", id: 1, at: 0 }, true), { state: "sync" });
});
