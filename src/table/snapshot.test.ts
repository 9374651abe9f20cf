import test from "ava";
import { Database } from "./index.ts";

interface Net {
  readonly id: string;
  readonly cidr: string;
  readonly tags: readonly string[];
}

const net = (id: string, cidr: string, ...tags: string[]): Net => ({ id, cidr, tags });

function build() {
  const db = new Database();
  return db.createTable({
    name: "nets",
    key: (row: Net) => row.id,
    indexes: { tag: { keys: (row: Net) => row.tags }, cidr: { cidr: (row: Net) => row.cidr } },
  });
}

test("a snapshot stays as it was, whatever way it is read", (t) => {
  const nets = build();
  nets.upsertMany([
    net("a", "10.0.0.0/8", "x"),
    net("b", "10.1.0.0/16", "x", "y"),
    net("c", "10.1.1.0/24", "y"),
  ]);
  const snapshot = nets.snapshot();
  nets.delete("c");
  nets.upsert(net("b", "192.168.0.0/16", "z"));
  nets.upsert(net("d", "10.1.1.1/32", "x"));
  nets.upsert(net("c", "0.0.0.0/0", "x"));

  t.is(snapshot.name, "nets");
  t.is(snapshot.size, 3);
  t.is(snapshot.revision, 1);
  t.is(snapshot.get("b")?.cidr, "10.1.0.0/16");
  t.like(snapshot.getWithRevision("c"), { revision: 1 });
  t.false(snapshot.has("d"));
  const names = (rows: Iterable<Net>) => [...rows].map((row) => row.id).sort();
  t.deepEqual(names(snapshot.list()), ["a", "b", "c"]);
  t.deepEqual(names(snapshot.all()), ["a", "b", "c"]);
  t.deepEqual(names(snapshot.byIndex("tag", "x")), ["a", "b"]);
  t.deepEqual(names(snapshot.byIndex("tag", "z")), []);
  t.deepEqual(names(snapshot.byIndex("cidr", "10.1.1.0/24")), ["c"]);
  t.deepEqual(
    snapshot.prefix("").map((row) => row.id),
    ["a", "b", "c"],
  );
  t.deepEqual(
    snapshot.lowerBound("b").map((row) => row.id),
    ["b", "c"],
  );
  t.deepEqual(
    snapshot.lowerBound("tag", "y").map((row) => row.id),
    ["b", "c"],
  );
  t.is(snapshot.longestPrefix("cidr", "10.1.1.1")?.id, "c");
  t.is(snapshot.longestPrefix("cidr", "10.1.2.1")?.id, "b");
  t.is(snapshot.longestPrefix("cidr", "10.2.2.1")?.id, "a");
  t.is(snapshot.longestPrefix("cidr", "192.168.0.1"), undefined);
});

test("each of several snapshots keeps its own moment", (t) => {
  const nets = build();
  const moments = [nets.snapshot(), nets.snapshot()];
  for (let i = 0; i < 5; i++) {
    nets.upsert(net("a", `10.${i}.0.0/16`));
    moments.push(nets.snapshot());
  }
  nets.delete("a");
  t.deepEqual(
    moments.map((moment) => moment.get("a")?.cidr),
    [undefined, undefined, "10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"],
  );
  t.is(nets.size, 0);
});

test("a snapshot from before a transaction does not see what it wrote, nor its roll-back", (t) => {
  const nets = build();
  nets.upsert(net("a", "10.0.0.0/8"));
  const snapshot = nets.snapshot();
  t.throws(() =>
    nets.transaction(() => {
      nets.upsert(net("a", "11.0.0.0/8"));
      nets.upsert(net("b", "12.0.0.0/8"));
      t.is(snapshot.get("a")?.cidr, "10.0.0.0/8");
      throw new Error("no");
    }),
  );
  t.is(snapshot.get("a")?.cidr, "10.0.0.0/8");
  t.deepEqual(
    snapshot.list().map((row) => row.id),
    ["a"],
  );
});

test("a snapshot can be walked while the table changes", (t) => {
  const nets = build();
  nets.upsertMany(["a", "b", "c"].map((id) => net(id, "10.0.0.0/8")));
  const seen: string[] = [];
  for (const row of nets.snapshot().all()) {
    seen.push(row.id);
    nets.deleteMany(["a", "b", "c"]);
    nets.upsert(net(`new-${row.id}`, "10.0.0.0/8"));
  }
  t.deepEqual(seen.sort(), ["a", "b", "c"]);
});
