import test from "ava";
import {
  Database,
  InvalidDefinitionError,
  RevisionMismatchError,
  TransactionError,
  UniqueIndexError,
} from "./index.ts";

interface Pod {
  readonly name: string;
  readonly ip: string;
  readonly labels: readonly string[];
}

const pod = (name: string, ip = "10.0.0.1", labels: readonly string[] = []): Pod => ({ name, ip, labels });

function build() {
  const db = new Database();
  const pods = db.createTable({
    name: "pods",
    key: (row: Pod) => row.name,
    indexes: {
      label: { keys: (row: Pod) => row.labels },
      ip: { keys: (row: Pod) => [row.ip], unique: true },
    },
  });
  const notes = db.createTable({ name: "notes", key: (row: { id: number; text?: string }) => row.id });
  return { db, pods, notes };
}

test("each write has the next revision of the database", (t) => {
  const { db, pods, notes } = build();
  t.is(db.revision, 0);
  t.is(pods.upsert(pod("a")), 1);
  t.is(notes.upsert({ id: 1 }), 2);
  t.is(pods.revision, 1);
  t.is(notes.revision, 2);
  t.is(pods.databaseRevision, 2);
  pods.delete("a");
  t.is(pods.revision, 3);
});

test("a write that changes nothing has no revision", (t) => {
  const { db, pods } = build();
  pods.upsert(pod("a"));
  t.is(pods.delete("b"), undefined);
  t.is(pods.upsertMany([]), 1);
  t.deepEqual(pods.deleteMany(["b", "c"]), []);
  t.is(
    db.transaction(() => "result"),
    "result",
  );
  t.is(db.revision, 1);
});

test("a transaction gives all its writes one revision", (t) => {
  const { db, pods, notes } = build();
  const revision = db.transaction((txn) => {
    pods.upsert(pod("a", "10.0.0.1"));
    pods.upsertMany([pod("b", "10.0.0.2"), pod("c", "10.0.0.3")]);
    notes.upsert({ id: 1 });
    t.is(db.revision, 0, "nothing is committed yet");
    t.is(pods.size, 3, "but the transaction sees its own writes");
    return txn.revision;
  });
  t.is(revision, 1);
  t.is(db.revision, 1);
  t.like(pods.getWithRevision("a"), { revision: 1 });
  t.like(notes.getWithRevision(1), { revision: 1 });
});

test("a transaction that throws leaves no trace in any table", (t) => {
  const { db, pods, notes } = build();
  pods.upsertMany([pod("a", "10.0.0.1", ["x"]), pod("b", "10.0.0.2", ["x"])]);
  const seen: unknown[] = [];
  const subscription = pods.changes().subscribe((change) => seen.push(change.kind));
  const cursor = pods.changesFrom(db.revision);
  const error = t.throws(() =>
    db.transaction(() => {
      pods.upsert(pod("a", "10.0.0.9", ["y"]));
      pods.delete("b");
      pods.upsert(pod("b", "10.0.0.8", ["z"]));
      pods.upsert(pod("c", "10.0.0.2"));
      notes.upsert({ id: 7 });
      throw new Error("no");
    }),
  );
  t.is(error?.message, "no");
  t.is(db.revision, 1);
  t.is(notes.size, 0);
  t.deepEqual(
    pods
      .list()
      .map((row) => row.ip)
      .sort(),
    ["10.0.0.1", "10.0.0.2"],
  );
  t.is(pods.byIndex("label", "x").length, 2);
  t.is(pods.byIndex("label", "y").length, 0);
  t.is(pods.byIndex("ip", "10.0.0.2")[0]?.name, "b");
  t.deepEqual(
    pods.prefix("").map((row) => row.name),
    ["a", "b"],
  );
  t.deepEqual(seen, ["upsert", "upsert", "sync"]);
  t.false(cursor.pending);
  cursor.close();
  subscription.unsubscribe();
  t.is(pods.upsert(pod("d", "10.0.0.4")), 2, "the revision was not used up");
});

test("a transaction inside another rolls back by itself", (t) => {
  const { db, pods } = build();
  db.transaction(() => {
    pods.upsert(pod("a", "10.0.0.1"));
    t.throws(() =>
      db.transaction(() => {
        pods.upsert(pod("b", "10.0.0.2"));
        pods.delete("a");
        throw new Error("inner");
      }),
    );
    t.throws(() => pods.upsertMany([pod("c", "10.0.0.3"), pod("d", "10.0.0.1")]), {
      instanceOf: UniqueIndexError,
    });
  });
  t.deepEqual(
    pods.list().map((row) => row.name),
    ["a"],
  );
  t.is(db.revision, 1);
});

test("a row that comes and goes in one transaction is never told of", (t) => {
  const { db, pods } = build();
  pods.upsert(pod("a"));
  const kinds: string[] = [];
  pods.changes().subscribe((change) => kinds.push(`${change.kind} ${"key" in change ? change.key : ""}`));
  db.transaction(() => {
    pods.upsert(pod("b", "10.0.0.2"));
    pods.delete("b");
    pods.upsert(pod("a", "10.0.0.3"));
    pods.upsert(pod("a", "10.0.0.4"));
  });
  t.deepEqual(kinds, ["upsert a", "sync ", "upsert a"]);
  db.transaction(() => {
    t.throws(() =>
      db.transaction(() => {
        pods.upsert(pod("a", "10.0.0.5"));
        throw new Error("no");
      }),
    );
    pods.upsert(pod("c", "10.0.0.6"));
  });
  t.deepEqual(
    kinds,
    ["upsert a", "sync ", "upsert a", "upsert c"],
    "nor is a row whose write was rolled back",
  );
  t.is(pods.get("a")?.ip, "10.0.0.4");
});

test("an asynchronous transaction is refused and rolled back", (t) => {
  const { db, pods } = build();
  t.throws(
    () =>
      db.transaction(async () => {
        pods.upsert(pod("a"));
      }),
    { instanceOf: TransactionError },
  );
  t.is(pods.size, 0);
});

test("compare-and-swap writes only over the expected revision", (t) => {
  const { pods } = build();
  const first = pods.compareAndSwap(pod("a"), 0);
  const second = pods.compareAndSwap(pod("a", "10.0.0.2"), first);
  const error = t.throws(() => pods.compareAndSwap(pod("a", "10.0.0.3"), first), {
    instanceOf: RevisionMismatchError,
  });
  t.like(error, { table: "pods", key: "a", expected: first, actual: second, status: "ABORTED" });
  t.throws(() => pods.compareAndSwap(pod("a"), 0), { instanceOf: RevisionMismatchError });
  t.throws(() => pods.compareAndSwap(pod("zzz"), 4), { instanceOf: RevisionMismatchError });
  t.is(pods.get("a")?.ip, "10.0.0.2");
});

test("rows are frozen all the way down", (t) => {
  const { pods } = build();
  pods.upsert({ name: "a", ip: "10.0.0.1", labels: ["x"] });
  const row = pods.get("a") as unknown as { ip: string; labels: string[] };
  t.throws(() => (row.ip = "10.0.0.2"), { instanceOf: TypeError });
  t.throws(() => row.labels.push("y"), { instanceOf: TypeError });
});

test("rows may hold what cannot be frozen", (t) => {
  const db = new Database();
  const macs = db.createTable({ name: "macs", key: (row: { id: bigint; mac: Uint8Array }) => row.id });
  macs.upsert({ id: 1n, mac: new Uint8Array([2, 0, 0, 0, 0, 1]) });
  t.is(macs.get(1n)?.mac[0], 2);
});

test("a key that is no key is refused", (t) => {
  const db = new Database();
  const table = db.createTable({ name: "odd", key: (row: { id?: number }) => row.id as number });
  t.throws(() => table.upsert({}), { instanceOf: InvalidDefinitionError, message: /table odd: undefined/ });
  t.throws(() => table.upsert({ id: Number.NaN }), { instanceOf: InvalidDefinitionError });
});

test("two tables of one name, or a table with none, are refused", (t) => {
  const { db } = build();
  t.throws(() => db.createTable({ name: "pods", key: (row: Pod) => row.name }), {
    message: /exists already/,
  });
  t.throws(() => db.createTable({ name: "", key: (row: Pod) => row.name }), { message: /must have a name/ });
});
