import test from "ava";
import {
  Database,
  InitializerError,
  InvalidAddressError,
  InvalidDefinitionError,
  UniqueIndexError,
  UnknownIndexError,
} from "./index.ts";

interface Route {
  readonly id: number;
  readonly to: string | undefined;
  readonly tags: readonly (string | number)[];
}

interface Nic {
  readonly id: number;
  readonly mac: string;
}

const route = (id: number, to?: string, tags: readonly (string | number)[] = []): Route => ({ id, to, tags });

function build() {
  const db = new Database();
  return db.createTable({
    name: "routes",
    key: (row: Route) => row.id,
    indexes: { tag: { keys: (row: Route) => row.tags }, to: { cidr: (row: Route) => row.to } },
  });
}

const ids = (rows: readonly Route[]) => rows.map((row) => row.id);

test("rows are found by key, with their revision and time", (t) => {
  const routes = build();
  const before = Date.now();
  routes.upsertMany([route(1), route(2)]);
  const revision = routes.upsert(route(2, "10.0.0.0/8"));
  t.is(routes.size, 2);
  t.true(routes.has(1));
  t.false(routes.has(3));
  t.is(routes.get(3), undefined);
  t.is(routes.getWithRevision(3), undefined);
  const found = routes.getWithRevision(2);
  t.like(found, { row: { to: "10.0.0.0/8" }, revision });
  t.true(found!.at >= before && found!.at <= Date.now());
  t.deepEqual(ids([...routes.all()]), [1, 2]);
});

test("a value index finds all rows with a value, and follows their changes", (t) => {
  const routes = build();
  routes.upsertMany([route(1, undefined, ["a", "b"]), route(2, undefined, ["b"]), route(3)]);
  t.deepEqual(ids(routes.byIndex("tag", "b")), [1, 2]);
  routes.upsert(route(1, undefined, ["a"]));
  routes.upsert(route(3, undefined, ["b", "b"]));
  t.deepEqual(ids(routes.byIndex("tag", "b")), [2, 3]);
  routes.deleteMany([2, 3]);
  t.deepEqual(routes.byIndex("tag", "b"), []);
  t.deepEqual(ids(routes.byIndex("tag", "a")), [1]);
});

test("a unique index names the row that has the value", (t) => {
  const db = new Database();
  const table = db.createTable({
    name: "macs",
    key: (row: Nic) => row.id,
    indexes: { mac: { keys: (row: Nic) => [row.mac], unique: true } },
  });
  table.upsert({ id: 1, mac: "aa" });
  table.upsert({ id: 1, mac: "aa" });
  const error = t.throws(() => table.upsert({ id: 2, mac: "aa" }), { instanceOf: UniqueIndexError });
  t.like(error, { table: "macs", index: "mac", value: "aa", holder: 1, key: 2, status: "ALREADY_EXISTS" });
  t.is(table.size, 1);
  table.delete(1);
  t.notThrows(() => table.upsert({ id: 2, mac: "aa" }));
});

test("primary keys and index values can be walked in order, while rows come and go", (t) => {
  const routes = build();
  routes.upsertMany([
    route(30, undefined, ["ab", 7]),
    route(4, undefined, ["b"]),
    route(100, undefined, ["aa"]),
  ]);
  t.deepEqual(ids(routes.lowerBound(5)), [30, 100]);
  t.deepEqual(ids(routes.prefix("tag", "a")), [100, 30]);
  t.deepEqual(ids(routes.lowerBound("tag", 0)), [30, 100, 30, 4], "numbers come before strings");
  routes.upsert(route(5, undefined, ["ac"]));
  routes.delete(30);
  routes.upsert(route(30, undefined, ["a"]));
  routes.delete(100);
  t.deepEqual(ids(routes.lowerBound(5)), [5, 30]);
  t.deepEqual(ids(routes.prefix("tag", "a")), [30, 5]);
  routes.upsertMany(Array.from({ length: 50 }, (_, i) => route(1000 - i, undefined, [`a${i}`])));
  t.deepEqual(ids(routes.lowerBound(998)), [998, 999, 1000]);
  t.deepEqual(ids(routes.prefix("tag", "a4")), [996, 960, 959, 958, 957, 956, 955, 954, 953, 952, 951]);
});

test("string keys can be searched by prefix", (t) => {
  const db = new Database();
  const names = db.createTable({ name: "names", key: (row: { name: string }) => row.name });
  names.upsertMany(["kube-system/dns", "default/b", "default/a", "defaults/c"].map((name) => ({ name })));
  t.deepEqual(
    names.prefix("default/").map((row) => row.name),
    ["default/a", "default/b"],
  );
  t.deepEqual(names.prefix("zzz"), []);
});

test("the longest prefix wins, in both address families", (t) => {
  const routes = build();
  routes.upsertMany([
    route(0, "0.0.0.0/0"),
    route(8, "10.0.0.0/8"),
    route(24, "10.1.2.0/24"),
    route(32, "10.1.2.3"),
    route(600, "::/0"),
    route(664, "fd00:1::/64"),
    route(6128, "fd00:1::5/128"),
    route(9999),
  ]);
  const find = (ip: string) => routes.longestPrefix("to", ip)?.id;
  t.is(find("10.1.2.3"), 32);
  t.is(find("10.1.2.4"), 24);
  t.is(find("10.2.0.0"), 8);
  t.is(find("192.0.2.1"), 0);
  t.is(find("fd00:1::5"), 6128);
  t.is(find("fd00:1:0:0:ffff::"), 664);
  t.is(find("2001:db8::1"), 600);
  routes.deleteMany([24, 600]);
  routes.upsert(route(32, "10.1.2.4/32"));
  t.is(find("10.1.2.3"), 8);
  t.is(find("2001:db8::1"), undefined);
});

test("two rows cannot share a network where it is unique", (t) => {
  const db = new Database();
  const pools = db.createTable({
    name: "pools",
    key: (row: { id: number; cidr: string }) => row.id,
    indexes: { cidr: { cidr: (row: { id: number; cidr: string }) => row.cidr, unique: true } },
  });
  pools.upsert({ id: 1, cidr: "10.1.0.0/16" });
  pools.upsert({ id: 1, cidr: "10.1.0.0/16" });
  pools.upsert({ id: 2, cidr: "10.1.0.0/17" });
  t.throws(() => pools.upsert({ id: 3, cidr: "10.1.2.3/16" }), { instanceOf: UniqueIndexError });
});

test("networks are equal whatever their host bits and spelling", (t) => {
  const routes = build();
  routes.upsertMany([route(1, "10.1.2.3/8"), route(2, "fd00:0:0::ff/64"), route(3, "::ffff:10.0.0.1")]);
  t.deepEqual(ids(routes.byIndex("to", "10.0.0.0/8")), [1]);
  t.deepEqual(ids(routes.byIndex("to", "FD00::/64")), [2]);
  t.deepEqual(ids(routes.byIndex("to", "::ffff:a00:1")), [3]);
  t.deepEqual(routes.byIndex("to", "10.0.0.0/9"), []);
});

for (const text of [
  "",
  "10.0.0",
  "10.0.0.0/33",
  "10.0.0.0/",
  "10.0.0.0/-1",
  "::/129",
  "fe80::1%eth0",
  "10.0.0.0/8/8",
]) {
  test(`a row with the network ${JSON.stringify(text)} is refused`, (t) => {
    const routes = build();
    t.throws(() => routes.upsert(route(1, text)), { instanceOf: InvalidAddressError });
    t.is(routes.size, 0);
    t.is(routes.databaseRevision, 0);
  });
}

test("a query that an index cannot answer is refused", (t) => {
  const routes = build();
  t.throws(() => routes.byIndex("nope", 1), {
    instanceOf: UnknownIndexError,
    message: /nope is not an index/,
  });
  t.throws(() => routes.prefix("to", "10."), { instanceOf: UnknownIndexError });
  t.throws(() => routes.longestPrefix("tag", "10.0.0.1"), { instanceOf: UnknownIndexError });
  t.throws(() => routes.longestPrefix("to", "10.0.0.0/8"), { instanceOf: InvalidAddressError });
});

test("a table without initializers is initialized", async (t) => {
  const routes = build();
  t.true(routes.initialized);
  await t.notThrowsAsync(routes.whenInitialized());
});

test("a table is initialized when all its initializers have called back", async (t) => {
  const routes = build();
  const first = routes.registerInitializer("first");
  const second = routes.registerInitializer("second");
  let initialized = false;
  const waiting = routes.whenInitialized().then(() => {
    initialized = true;
  });
  first();
  first();
  await Promise.resolve();
  t.false(routes.initialized);
  t.false(initialized);
  second();
  t.true(routes.initialized);
  await waiting;
  t.true(initialized);
});

test("an initializer must be registered once and in time", (t) => {
  const routes = build();
  const done = routes.registerInitializer("first");
  t.throws(() => routes.registerInitializer("first"), { instanceOf: InitializerError });
  done();
  t.throws(() => routes.registerInitializer("second"), { instanceOf: InitializerError, message: /too late/ });
});

test("waiting for initialization ends with its signal", async (t) => {
  const routes = build();
  routes.registerInitializer("never");
  const controller = new AbortController();
  const waiting = routes.whenInitialized(controller.signal);
  controller.abort(new Error("enough"));
  await t.throwsAsync(waiting, { message: "enough" });
  await t.throwsAsync(routes.whenInitialized(controller.signal), { message: "enough" });
});

test("a merge decides row by row, seeing what it has written, and is undone as a whole", (t) => {
  const table = build();
  const first = table.upsert(route(1, "10.0.0.0/8", ["old"]));
  const seen: unknown[] = [];
  const revision = table.mergeMany(
    [route(1, "10.1.0.0/16", ["a"]), route(2, undefined, ["a"]), route(2, undefined, ["b"])],
    (row, current) => {
      seen.push(current?.tags);
      return current?.tags.includes("old") ? undefined : row;
    },
  );
  t.deepEqual(seen, [["old"], undefined, ["a"]]);
  t.true(revision > first);
  t.is(table.getWithRevision(1)?.revision, first);
  t.deepEqual(table.get(2)?.tags, ["b"]);
  t.is(
    table.mergeMany([route(3)], () => undefined),
    revision,
    "nothing was written",
  );
  const fault = t.throws(
    () => table.mergeMany([route(4), route(5)], (row) => (row.id === 5 ? route(6) : row)),
    { instanceOf: InvalidDefinitionError },
  );
  t.is(fault.message, "table routes: a merge for 5 gave a row of 6");
  t.is(table.size, 2);
});
