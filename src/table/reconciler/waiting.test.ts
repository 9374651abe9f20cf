import { setImmediate as turn } from "node:timers/promises";
import test from "ava";
import {
  InvalidDefinitionError,
  ReconcileError,
  Reconciler,
  type ReconcilerHealth,
  ReconcilerStateError,
} from "../index.ts";
import { build, item, until, World } from "./testing.ts";

test("the status of a row goes from pending to done, and is gone with the row", async (t) => {
  const { table, world, reconciler } = build();
  t.is(reconciler.status("a"), undefined);
  const first = table.upsert(item("a"));
  t.like(reconciler.status("a"), { kind: "pending", id: first });
  reconciler.start();
  await reconciler.waitReconciled(first);
  const done = reconciler.status("a");
  t.like(done, { kind: "done", id: first });
  t.true(Math.abs(done!.at - Date.now()) < 60_000);
  const second = table.upsert(item("a", 1));
  t.like(reconciler.status("a"), { kind: "pending", id: second });
  await reconciler.waitReconciled(second);
  table.delete("a");
  t.is(reconciler.status("a")?.kind, "pending");
  await reconciler.waitReconciled(table.revision);
  t.is(reconciler.status("a"), undefined);
  t.is(world.state.size, 0);
  await reconciler.stop();
});

test("of one transaction's rows, those tried are done while others are under way or to come", async (t) => {
  const { table, world, reconciler } = build({ batchSize: 1 });
  const seen: (string | undefined)[] = [];
  const look = () => {
    seen.push(["a", "b", "c"].map((id) => reconciler.status(id)?.kind).join(" "));
  };
  world.before = (operation) => {
    if (operation !== "prune") look();
  };
  reconciler.start();
  await reconciler.waitReconciled(table.upsertMany([item("a"), item("b"), item("c")]));
  look();
  t.deepEqual(seen.splice(0), [
    "pending pending pending",
    "done pending pending",
    "done done pending",
    "done done done",
  ]);
  const deleted = table.delete("b") && table.revision;
  t.like(reconciler.status("b"), { kind: "pending", id: deleted });
  await reconciler.waitReconciled(table.revision);
  t.is(seen.at(-1), "done pending done");
  t.is(reconciler.status("b"), undefined);
  await reconciler.stop();
});

test("waiting is not fooled by a row that is written again before it is put in place", async (t) => {
  const { table, world, reconciler } = build({ batchSize: 1, retryMinMs: 60_000 });
  const gate = Promise.withResolvers<void>();
  world.before = () => gate.promise;
  reconciler.start();
  table.upsert(item("first"));
  await until(() => reconciler.metrics().revision === 0 && !world.calls.length);
  const wanted = table.upsert(item("a", 1));
  const waiting = reconciler.waitReconciled(wanted, undefined, ["a"]);
  table.upsertMany([item("b"), item("c")]);
  table.upsert(item("a", 2));
  gate.resolve();
  await waiting;
  t.is(world.state.get("a"), 2);

  world.bad.set("a", new Error("no"));
  const failing = table.upsert(item("a", 3));
  table.upsert(item("a", 4));
  await t.throwsAsync(
    reconciler.waitReconciled(failing, undefined, ["a"]),
    { instanceOf: ReconcileError },
    "the later failure counts for the earlier revision, which it stands for",
  );
  await reconciler.stop();
});

test("a row that fails again after a change has not been applied since the first failure", async (t) => {
  const { table, world, reconciler } = build({ retryMinMs: 60_000 });
  world.bad.set("a", new Error("no"));
  reconciler.start();
  const first = table.upsert(item("a", 1));
  await t.throwsAsync(reconciler.waitReconciled(first), { instanceOf: ReconcileError });
  const second = table.upsert(item("a", 2));
  await t.throwsAsync(reconciler.waitReconciled(second), { instanceOf: ReconcileError });
  await t.throwsAsync(reconciler.waitReconciled(first), { instanceOf: ReconcileError });
  world.bad.clear();
  await reconciler.waitReconciled(table.upsert(item("a", 3)));
  await reconciler.waitReconciled(first);
  await reconciler.stop();
});

test("a revision of another table is waited for, too", async (t) => {
  const { table, other, world, reconciler } = build();
  reconciler.start();
  await reconciler.waitReconciled(0);
  table.upsert(item("a"));
  const revision = other.upsert(item("x"));
  await reconciler.waitReconciled(revision);
  t.true(world.state.has("a"));
  await reconciler.waitReconciled(other.upsert(item("y")));
  await t.throwsAsync(reconciler.waitReconciled(revision + 10), { instanceOf: InvalidDefinitionError });
  await reconciler.stop();
});

test("waiting ends with its signal, and with the reconciler", async (t) => {
  const { table, world, reconciler } = build();
  const revision = table.upsert(item("a"));
  const controller = new AbortController();
  const aborted = reconciler.waitReconciled(revision, controller.signal);
  controller.abort(new Error("deadline"));
  await t.throwsAsync(aborted, { message: "deadline" });
  const waiting = [reconciler.waitReconciled(revision), reconciler.prune()];
  await reconciler.stop();
  for (const one of waiting) await t.throwsAsync(one, { instanceOf: ReconcilerStateError });
  await t.throwsAsync(reconciler.waitReconciled(revision), { instanceOf: ReconcilerStateError });
  await t.throwsAsync(reconciler.prune(), { instanceOf: ReconcilerStateError });
  t.throws(() => reconciler.start(), { instanceOf: ReconcilerStateError });
  t.is(world.calls.length, 0);
});

test("stopping waits for the operation under way, and whoever waited for that is served", async (t) => {
  const { table, world, reconciler } = build();
  const gate = Promise.withResolvers<void>();
  world.before = () => gate.promise;
  reconciler.start();
  const waiting = reconciler.waitReconciled(table.upsert(item("a")));
  await turn();
  const stopped = reconciler.stop();
  gate.resolve();
  await stopped;
  await waiting;
  t.true(world.state.has("a"));
  table.upsert(item("b"));
  await turn();
  t.false(world.state.has("b"));
  await reconciler.stop();
});

test("a reconciler starts once, with sensible options", async (t) => {
  const { table, reconciler } = build();
  reconciler.start();
  t.throws(() => reconciler.start(), { instanceOf: ReconcilerStateError });
  await reconciler.stop();
  const ops = new World();
  for (const bad of [
    { batchSize: 0 },
    { retryMinMs: 0 },
    { retryMinMs: 5, retryMaxMs: 4 },
    { pruneIntervalMs: -1 },
    { refreshIntervalMs: Number.NaN },
  ]) {
    t.throws(() => new Reconciler({ name: "r", table, ops, ...bad }), { instanceOf: InvalidDefinitionError });
  }
});

test("a health listener that throws is logged, and reconciling goes on", async (t) => {
  const logged: string[] = [];
  const log = (_: object, message: string) => logged.push(message);
  const { table, reconciler } = build({
    logger: { debug: () => undefined, warn: log, error: log },
    onHealth: () => {
      throw new Error("listener");
    },
  });
  reconciler.start();
  await reconciler.waitReconciled(table.upsert(item("a")));
  await reconciler.waitReconciled(table.upsert(item("b")));
  t.true(logged.includes("health listener failed"));
  await reconciler.stop();
});

test("a reconciler that breaks down says so to all", async (t) => {
  const health: ReconcilerHealth[] = [];
  const logged: string[] = [];
  const { table, world, reconciler } = build({
    onHealth: (h) => health.push(h),
    logger: {
      debug: () => undefined,
      warn: () => {
        throw new Error("disk full");
      },
      error: (_, message) => logged.push(message),
    },
  });
  world.bad.set("a", new Error("no"));
  reconciler.start();
  const waiting = reconciler.waitReconciled(table.upsert(item("a")));
  await t.throwsAsync(waiting, { instanceOf: ReconcilerStateError, message: /broke down: disk full/ });
  await t.throwsAsync(reconciler.prune(), { instanceOf: ReconcilerStateError });
  t.like(health.at(-1), { state: "degraded" });
  t.regex(health.at(-1)!.message, /1 row in error; reconciler items: it broke down: disk full/);
  t.deepEqual(logged, ["reconciler broke down"]);
  await reconciler.stop();
});

test("health shows the first ten errors of many", async (t) => {
  const health: ReconcilerHealth[] = [];
  const { table, world, reconciler } = build({ retryMinMs: 60_000, onHealth: (h) => health.push(h) });
  const ids = Array.from({ length: 25 }, (_, i) => `${i}`);
  for (const id of ids) world.bad.set(id, new Error("no"));
  table.upsertMany(ids.map((id) => item(id)));
  reconciler.start();
  await until(() => health.length > 0);
  t.is(health[0]?.message, "25 rows in error");
  t.is(health[0]?.errors.length, 10);
  await reconciler.stop();
});
