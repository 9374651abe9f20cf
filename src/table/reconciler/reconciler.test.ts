import { setImmediate as turn } from "node:timers/promises";
import test from "ava";
import {
  Database,
  InvalidDefinitionError,
  ReconcileError,
  Reconciler,
  type ReconcilerHealth,
  type ReconcilerOps,
  ReconcilerOpsError,
  type ReconcilerOptions,
  ReconcilerStateError,
} from "../index.ts";

interface Item {
  readonly id: string;
  readonly v: number;
}

const item = (id: string, v = 0): Item => ({ id, v });

/** Something to reconcile with, whose operations fail on demand. */
class World implements ReconcilerOps<Item> {
  readonly state = new Map<string, number>();
  readonly calls: string[] = [];
  /** Rows that fail, with what they fail with. */
  readonly bad = new Map<string, Error>();
  /** Rows that make the whole call fail. */
  readonly poison = new Set<string>();
  pruneError: Error | undefined;
  /** Called before each operation; may delay it. */
  before: (operation: string, rows: readonly Item[]) => void | Promise<void> = () => undefined;

  async update(rows: readonly Item[]) {
    return await this.#perform("update", rows, (row) => this.state.set(row.id, row.v));
  }

  async delete(rows: readonly Item[]) {
    return await this.#perform("delete", rows, (row) => this.state.delete(row.id));
  }

  async prune(all: Iterable<Item>) {
    await this.before("prune", []);
    this.calls.push("prune");
    if (this.pruneError) throw this.pruneError;
    const wanted = new Set([...all].map((row) => row.id));
    const gone = [...this.state.keys()].filter((id) => !wanted.has(id));
    for (const id of gone) this.state.delete(id);
    return { removed: gone.length };
  }

  async #perform(operation: string, rows: readonly Item[], apply: (row: Item) => void) {
    await this.before(operation, rows);
    this.calls.push(`${operation} ${rows.map((row) => row.id).join(",")}`);
    if (rows.some((row) => this.poison.has(row.id))) throw new Error("poisoned");
    return rows.map((row) => {
      const error = this.bad.get(row.id);
      if (!error) apply(row);
      return error;
    });
  }
}

type Extra = Partial<Omit<ReconcilerOptions<Item, string>, "name" | "table" | "ops">>;

function build(options: Extra = {}) {
  const db = new Database();
  const table = db.createTable({ name: "items", key: (row: Item) => row.id });
  const other = db.createTable({ name: "other", key: (row: Item) => row.id });
  const world = new World();
  const reconciler = new Reconciler({ name: "items", table, ops: world, retryMinMs: 2, ...options });
  return { db, table, other, world, reconciler };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

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
    { state: "degraded", message: "1 rows in error", errors: ["b: no room"] },
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
  t.true(refreshing);
  t.is(reconciler.status("x")?.kind, "error");
  t.true(reconciler.metrics().refreshes >= 4);
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
