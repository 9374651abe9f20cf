import test from "ava";
import { ReconcileError, type ReconcilerHealth, ReconcilerOpsError } from "../index.ts";
import { build, item, until } from "./testing.ts";

test("rows are put in place, replaced and removed", async (t) => {
  const { table, world, reconciler } = build();
  table.upsertMany([item("a"), item("b")]);
  reconciler.start();
  await reconciler.waitReconciled(table.upsert(item("c")));
  t.deepEqual([...world.state.keys()], ["a", "b", "c"]);
  table.upsert(item("a", 5));
  table.delete("b");
  await reconciler.waitReconciled(table.revision);
  t.deepEqual(Object.fromEntries(world.state), { a: 5, c: 0 });
  await reconciler.stop();
});

test("deletions come first in a batch", async (t) => {
  const { table, world, reconciler } = build();
  table.upsertMany([item("a"), item("b")]);
  reconciler.start();
  await reconciler.waitReconciled(table.revision);
  world.calls.length = 0;
  table.upsert(item("c"));
  table.delete("a");
  table.upsert(item("d"));
  table.delete("b");
  await reconciler.waitReconciled(table.revision);
  t.deepEqual(
    world.calls.filter((call) => call !== "prune"),
    ["delete a,b", "update c,d"],
  );
  await reconciler.stop();
});

test("a call never has more rows than a batch", async (t) => {
  const { table, world, reconciler } = build({ batchSize: 3 });
  table.upsertMany(Array.from({ length: 8 }, (_, i) => item(`${i}`)));
  reconciler.start();
  await reconciler.waitReconciled(table.revision);
  t.deepEqual(
    world.calls.filter((call) => call !== "prune"),
    ["update 0,1,2", "update 3,4,5", "update 6,7"],
  );
  await reconciler.stop();
});

test("a failing row is tried again while others go on", async (t) => {
  const health: ReconcilerHealth[] = [];
  const { table, world, reconciler } = build({ onHealth: (h) => health.push(h) });
  world.bad.set("b", new Error("no room"));
  table.upsertMany([item("a"), item("b"), item("c")]);
  reconciler.start();
  const error = await t.throwsAsync(reconciler.waitReconciled(table.revision), {
    instanceOf: ReconcileError,
  });
  t.deepEqual(
    error?.failures.map(({ key, revision, cause }) => [key, revision, cause.message]),
    [["b", 1, "no room"]],
  );
  t.deepEqual([...world.state.keys()], ["a", "c"]);
  await t.notThrowsAsync(reconciler.waitReconciled(table.revision, undefined, ["a", "c"]));
  await t.throwsAsync(reconciler.waitReconciled(table.revision, undefined, ["b"]), { message: /b: no room/ });
  t.like(reconciler.status("b"), { kind: "error", id: 1, error: { message: "no room" } });

  await until(() => reconciler.metrics().retries >= 3);
  const revision = table.upsert(item("d"));
  await reconciler.waitReconciled(revision, undefined, ["d"]);
  world.bad.clear();
  await until(() => reconciler.status("b")?.kind === "done");
  await reconciler.waitReconciled(revision);
  t.deepEqual([...world.state.keys()].sort(), ["a", "b", "c", "d"]);
  await until(() => health.at(-1)?.state === "ok");
  t.deepEqual(health, [
    { state: "degraded", message: "1 row in error", errors: ["b: no room"] },
    { state: "ok", message: "reconciled", errors: [] },
  ]);
  await reconciler.stop();
});

test("a failed deletion is tried again, and forgotten when the row returns", async (t) => {
  const { table, world, reconciler } = build();
  table.upsertMany([item("a"), item("b")]);
  reconciler.start();
  await reconciler.waitReconciled(table.revision);
  world.bad.set("a", new Error("busy")).set("b", new Error("busy"));
  const deleted = table.transaction((txn) => {
    table.deleteMany(["a", "b"]);
    return txn.revision;
  });
  await t.throwsAsync(reconciler.waitReconciled(deleted), { message: /a: busy; b: busy/ });
  t.like(reconciler.status("a"), { kind: "error", id: deleted });
  world.bad.clear();
  const revision = table.upsert(item("a", 7));
  await until(() => reconciler.metrics().inError === 0);
  await reconciler.waitReconciled(revision);
  t.deepEqual(Object.fromEntries(world.state), { a: 7 });
  t.is(reconciler.status("b"), undefined);
  await reconciler.stop();
});

test("a change resets the back-off of its row", async (t) => {
  const { table, world, reconciler } = build({ retryMinMs: 60_000 });
  world.bad.set("a", new Error("no"));
  reconciler.start();
  await t.throwsAsync(reconciler.waitReconciled(table.upsert(item("a"))));
  world.bad.clear();
  await reconciler.waitReconciled(table.upsert(item("a", 1)));
  t.is(world.state.get("a"), 1);
  t.is(reconciler.metrics().inError, 0);
  await reconciler.stop();
});

test("one row that makes calls reject is found, and the others are put in place", async (t) => {
  const { table, world, reconciler } = build({ retryMinMs: 60_000 });
  const ids = Array.from({ length: 100 }, (_, i) => `${i}`);
  world.poison.add("37");
  table.upsertMany(ids.map((id) => item(id)));
  reconciler.start();
  const error = await t.throwsAsync(reconciler.waitReconciled(table.revision), {
    instanceOf: ReconcileError,
  });
  t.deepEqual(
    error?.failures.map((failure) => failure.key),
    ["37"],
  );
  t.true(error?.failures[0]?.cause instanceof ReconcilerOpsError);
  t.is(world.state.size, 99);
  t.true(world.calls.length < 20);
  await reconciler.stop();
});

test("when every call rejects, few are wasted", async (t) => {
  const { table, world, reconciler } = build({ retryMinMs: 60_000 });
  world.before = () => {
    throw new Error("the map is gone");
  };
  let calls = 0;
  const { update } = world;
  world.update = (rows) => {
    calls++;
    return update.call(world, rows);
  };
  table.upsertMany(Array.from({ length: 1024 }, (_, i) => item(`${i}`)));
  reconciler.start();
  const error = await t.throwsAsync(reconciler.waitReconciled(table.revision), {
    instanceOf: ReconcileError,
  });
  t.is(error?.failures.length, 1024);
  t.is(calls, 21);
  await reconciler.stop();
});

test("results that do not match the rows are an error of the operations", async (t) => {
  const { table, world, reconciler } = build({ retryMinMs: 60_000 });
  world.update = async () => [];
  reconciler.start();
  await t.throwsAsync(reconciler.waitReconciled(table.upsert(item("a"))), {
    instanceOf: ReconcileError,
    message: /update: 0 results for 1 rows/,
  });
  await reconciler.stop();
});
