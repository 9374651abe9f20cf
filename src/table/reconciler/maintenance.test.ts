import { setImmediate as turn } from "node:timers/promises";
import test from "ava";
import { type ReconcilerHealth, ReconcilerOpsError } from "../index.ts";
import { build, item, until } from "./testing.ts";

test("pruning waits for the initializers and for all rows to be tried, then removes what nobody wants", async (t) => {
  const { table, world, reconciler } = build({ batchSize: 2 });
  world.state.set("old", 1).set("a", 1);
  world.bad.set("b", new Error("no"));
  const done = table.registerInitializer("source");
  table.upsertMany([item("a"), item("b"), item("c")]);
  reconciler.start();
  const pruned = reconciler.prune();
  await until(() => world.state.has("c"));
  for (let i = 0; i < 5; i++) await turn();
  t.true(world.state.has("old"));
  table.upsertMany([item("d"), item("e"), item("f")]);
  done();
  await pruned;
  t.deepEqual([...world.state.keys()].sort(), ["a", "c", "d", "e", "f"]);
  t.is(world.calls.filter((call) => call === "prune").length, 1, "the first prune was the one asked for");
  t.like(reconciler.metrics(), { prunes: 1, pruned: 1, pruneErrors: 0 });
  await reconciler.stop();
});

test("pruning repeats at its interval and on demand", async (t) => {
  const { world, reconciler } = build({ pruneIntervalMs: 5 });
  reconciler.start();
  await until(() => reconciler.metrics().prunes >= 3);
  await reconciler.stop();
  const quiet = build({ pruneIntervalMs: 0 });
  quiet.reconciler.start();
  await until(() => quiet.reconciler.metrics().prunes === 1);
  quiet.world.state.set("stray", 1);
  await quiet.reconciler.prune();
  t.is(quiet.world.state.size, 0);
  t.is(quiet.reconciler.metrics().prunes, 2);
  await quiet.reconciler.stop();
  t.is(world.state.size, 0);
});

test("a failed prune degrades health and is tried again", async (t) => {
  const health: ReconcilerHealth[] = [];
  const { world, reconciler } = build({ onHealth: (h) => health.push(h) });
  world.pruneError = new Error("EPERM");
  const pruned = reconciler.prune();
  reconciler.start();
  await t.throwsAsync(pruned, { instanceOf: ReconcilerOpsError, message: "reconciler items: prune: EPERM" });
  await until(() => health.at(-1)?.state === "degraded");
  t.is(health.at(-1)?.message, "reconciler items: prune: EPERM");
  world.pruneError = undefined;
  await until(() => health.at(-1)?.state === "ok");
  t.true(reconciler.metrics().pruneErrors >= 1);
  await reconciler.stop();
});

test("a prune sees a snapshot, while the table changes", async (t) => {
  const { table, world, reconciler } = build();
  table.upsertMany([item("a"), item("b")]);
  let rows: string[] = [];
  world.prune = async (all) => {
    table.delete("a");
    table.upsert(item("c"));
    await turn();
    rows = [...all, ...all].map((row) => row.id);
    return { removed: 0 };
  };
  reconciler.start();
  await until(() => rows.length > 0);
  t.deepEqual(rows.sort(), ["a", "a", "b", "b"]);
  await until(() => world.state.has("c") && !world.state.has("a"));
  await reconciler.stop();
});

test("a refresh repairs what was changed behind our back, and leaves rows in error alone", async (t) => {
  const { table, world, reconciler } = build({ refreshIntervalMs: 10, batchSize: 2, retryMinMs: 60_000 });
  world.bad.set("x", new Error("no"));
  table.upsertMany(["a", "b", "c", "d", "x"].map((id) => item(id, 1)));
  reconciler.start();
  await t.throwsAsync(reconciler.waitReconciled(table.revision));
  world.state.delete("a");
  world.state.set("d", 99);
  let refreshing = false;
  world.before = (operation) => {
    if (operation === "update") refreshing ||= reconciler.status("d")?.kind === "refreshing";
  };
  await until(() => world.state.get("a") === 1 && world.state.get("d") === 1);
  await until(() => reconciler.metrics().refreshes >= 8);
  t.true(refreshing);
  t.is(reconciler.status("x")?.kind, "error");
  t.is(world.calls.filter((call) => call.includes("x")).length, 1);
  await reconciler.stop();
});

test("a row that was deleted or changed meanwhile is not refreshed as it was", async (t) => {
  const { table, world, reconciler } = build({ refreshIntervalMs: 5, batchSize: 1 });
  table.upsertMany([item("a", 1), item("b", 1), item("c", 1)]);
  reconciler.start();
  await reconciler.waitReconciled(table.revision);
  const refreshed = Promise.withResolvers<void>();
  world.before = (operation, rows) => {
    if (operation !== "update" || rows[0]?.v !== 1) return;
    table.delete("b");
    table.upsert(item("c", 2));
    world.before = () => undefined;
    refreshed.resolve();
  };
  await refreshed.promise;
  await reconciler.waitReconciled(table.revision);
  const round = reconciler.metrics().refreshes;
  await until(() => reconciler.metrics().refreshes > round + 4);
  t.deepEqual(Object.fromEntries(world.state), { a: 1, c: 2 });
  await reconciler.stop();
});
