import test from "ava";
import { Database, type DeriveError, derive } from "./index.ts";

interface Pod {
  readonly name: string;
  readonly ips: readonly string[];
}

interface Ip {
  readonly ip: string;
  readonly pod: string;
}

function build(map?: (pod: Pod) => readonly Ip[]) {
  const db = new Database();
  const pods = db.createTable({ name: "pods", key: (pod: Pod) => pod.name });
  const ips = db.createTable({ name: "ips", key: (ip: Ip) => ip.ip });
  const errors: DeriveError[] = [];
  const derivation = derive(pods, ips, map ?? ((pod) => pod.ips.map((ip) => ({ ip, pod: pod.name }))), {
    onError: (error) => errors.push(error),
  });
  const shown = () => ips.prefix("").map(({ ip, pod }) => `${ip}=${pod}`);
  return { db, pods, ips, derivation, errors, shown };
}

test("a derived table follows its source", (t) => {
  const { pods, derivation, shown } = build();
  pods.upsert({ name: "a", ips: ["1", "2"] });
  derivation.start();
  t.deepEqual(shown(), ["1=a", "2=a"]);
  pods.upsert({ name: "b", ips: ["3"] });
  pods.upsert({ name: "a", ips: ["2", "4"] });
  t.deepEqual(shown(), ["2=a", "3=b", "4=a"]);
  pods.delete("a");
  t.deepEqual(shown(), ["3=b"]);
  derivation.stop();
});

test("a transaction on the source is one on the target", (t) => {
  const { db, pods, ips, derivation } = build();
  derivation.start();
  pods.upsert({ name: "a", ips: ["1", "2"] });
  const before = db.revision;
  pods.transaction(() => {
    pods.upsert({ name: "b", ips: ["3", "4"] });
    pods.upsert({ name: "c", ips: ["5"] });
    pods.delete("a");
  });
  t.is(db.revision, before + 2);
  t.deepEqual(
    ips.prefix("").map((row) => row.ip),
    ["3", "4", "5"],
  );
  t.is(ips.getWithRevision("3")?.revision, ips.getWithRevision("5")?.revision);
});

test("of several sources of one row the last wins, and an earlier one inherits", (t) => {
  const { pods, ips, derivation, shown } = build();
  derivation.start();
  pods.upsert({ name: "a", ips: ["1"] });
  pods.upsert({ name: "b", ips: ["1"] });
  pods.upsert({ name: "c", ips: ["1"] });
  t.deepEqual(shown(), ["1=c"]);
  const { revision } = ips;
  pods.delete("a");
  t.deepEqual(shown(), ["1=c"]);
  t.is(ips.revision, revision, "what did not win is withdrawn without a write");
  pods.upsert({ name: "c", ips: [] });
  t.deepEqual(shown(), ["1=b"]);
  pods.delete("b");
  t.deepEqual(shown(), []);
});

test("a derivation that was stopped catches up", (t) => {
  const { pods, derivation, shown } = build();
  derivation.start();
  pods.upsertMany([
    { name: "a", ips: ["1"] },
    { name: "b", ips: ["2"] },
  ]);
  derivation.stop();
  derivation.stop();
  pods.delete("a");
  pods.upsert({ name: "b", ips: ["3"] });
  t.deepEqual(shown(), ["1=a", "2=b"]);
  derivation.start();
  derivation.start();
  t.deepEqual(shown(), ["3=b"]);
});

test("a derived table is initialized once its source is", async (t) => {
  const { pods, ips, derivation } = build();
  const done = pods.registerInitializer("source");
  t.false(ips.initialized);
  derivation.start();
  await new Promise(setImmediate);
  t.false(ips.initialized);
  pods.upsert({ name: "a", ips: ["1"] });
  done();
  await ips.whenInitialized();
  t.is(ips.size, 1);
});

test("a row that cannot be mapped keeps what it yielded and does not disturb others", (t) => {
  const { pods, derivation, errors, shown } = build((pod) => {
    if (pod.ips.includes("bad")) throw new Error("bad address");
    return pod.ips.map((ip) => ({ ip, pod: pod.name }));
  });
  derivation.start();
  pods.upsert({ name: "a", ips: ["1"] });
  pods.upsertMany([
    { name: "a", ips: ["bad"] },
    { name: "b", ips: ["2"] },
  ]);
  t.deepEqual(shown(), ["1=a", "2=b"]);
  t.is(errors.length, 1);
  t.like(errors[0], { key: "a", message: "derive ips from pods: row a: bad address" });
  pods.upsert({ name: "a", ips: ["3"] });
  t.deepEqual(shown(), ["2=b", "3=a"]);
});
