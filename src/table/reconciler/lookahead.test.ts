import test from "ava";
import { Database, type PreparedUpdate, ReconcileError, Reconciler } from "../index.ts";
import { type Item, item, until, World } from "./testing.ts";

const batchSize = 256;

/** Rows enough for so many batches. */
const batches = (count: number, v = 0): Item[] =>
  Array.from({ length: count * batchSize }, (_, number) => item(`${number}`, v));

/** A world whose updates can be made ready, and that is held while one is under way. */
class PreparingWorld extends World {
  /** First rows of what was made ready, and of what was done. */
  readonly events: string[] = [];
  readonly #held: (() => void)[] = [];
  #open = false;

  prepareUpdate(rows: readonly Item[]): PreparedUpdate {
    this.events.push(`prepare ${rows[0]!.id}`);
    if (rows.some(({ id }) => this.poison.has(id))) throw new Error("cannot be made ready");
    return () => this.update(rows);
  }

  override async update(rows: readonly Item[]) {
    if (!this.#open) await new Promise<void>((resolve) => this.#held.push(resolve));
    this.events.push(`update ${rows[0]!.id}`);
    return await super.update(rows);
  }

  get held(): number {
    return this.#held.length;
  }

  letOneGo(): void {
    this.#held.shift()!();
  }

  letAllGo(): void {
    this.#open = true;
    for (const letGo of this.#held.splice(0)) letGo();
  }
}

function build() {
  const table = new Database().createTable({ name: "items", key: (row: Item) => row.id });
  const world = new PreparingWorld();
  const reconciler = new Reconciler({ name: "items", table, ops: world, batchSize, retryMinMs: 60_000 });
  return { table, world, reconciler };
}

test("a whole batch of updates is made ready while another is under way, and done after it", async (t) => {
  const { table, world, reconciler } = build();
  const revision = table.upsertMany(batches(3));
  reconciler.start();
  await until(() => world.events.length === 1 && world.held === 1);
  t.deepEqual(world.events, ["prepare 256"]);
  t.is(reconciler.status("0")?.kind, "pending");
  t.is(reconciler.status("256")?.kind, "pending");
  t.is(reconciler.status("512")?.kind, "pending");
  world.letOneGo();
  await until(() => world.events.length === 3 && world.held === 1);
  t.deepEqual(world.events, ["prepare 256", "update 0", "prepare 512"]);
  t.is(reconciler.status("0")?.kind, "done");
  t.is(reconciler.status("256")?.kind, "pending");
  t.is(reconciler.metrics().revision, 0);
  world.letAllGo();
  await reconciler.waitReconciled(revision);
  t.deepEqual(world.events.slice(3), ["update 256", "update 512"]);
  t.is(world.state.size, 3 * batchSize);
  t.is(reconciler.status("512")?.kind, "done");
  await reconciler.stop();
});

test("what was taken early holds nobody up who waits for what came before", async (t) => {
  const { table, world, reconciler } = build();
  const first = table.upsertMany(batches(1));
  reconciler.start();
  await until(() => world.held === 1);
  const second = table.upsertMany(batches(2).slice(batchSize));
  await until(() => world.events.length === 1);
  const reached = reconciler.waitReconciled(first);
  world.letOneGo();
  await reached;
  t.is(reconciler.metrics().revision, first);
  t.is(reconciler.status("256")?.kind, "pending");
  world.letAllGo();
  await reconciler.waitReconciled(second);
  await reconciler.stop();
});

test("a row that fails and was written again meanwhile has not been applied since its first version", async (t) => {
  const { table, world, reconciler } = build();
  world.bad.set("7", new Error("no"));
  const first = table.upsertMany(batches(1));
  reconciler.start();
  await until(() => world.held === 1);
  table.upsertMany(batches(1, 1));
  await until(() => world.events.length === 1);
  world.letAllGo();
  await t.throwsAsync(reconciler.waitReconciled(table.revision), { instanceOf: ReconcileError });
  const error = await t.throwsAsync(reconciler.waitReconciled(first), { instanceOf: ReconcileError });
  t.deepEqual(
    error.failures.map(({ key }) => key),
    ["7"],
  );
  t.is(world.state.get("8"), 1);
  world.bad.clear();
  await reconciler.waitReconciled(table.upsert(item("7", 2)));
  await reconciler.waitReconciled(first);
  await reconciler.stop();
});

test("what cannot be made ready is updated without, and deletions are left to their turn", async (t) => {
  const { table, world, reconciler } = build();
  const rows = batches(2);
  table.upsertMany(rows);
  world.poison.add("300");
  reconciler.start();
  await until(() => world.events.length === 1);
  world.letAllGo();
  const error = await t.throwsAsync(reconciler.waitReconciled(table.revision), {
    instanceOf: ReconcileError,
  });
  t.deepEqual(
    error.failures.map(({ key }) => key),
    ["300"],
  );
  t.is(world.state.size, 2 * batchSize - 1);
  world.poison.clear();
  table.deleteMany(rows.map(({ id }) => id));
  await reconciler.waitReconciled(table.revision);
  t.is(world.state.size, 0);
  await reconciler.stop();
});

test("a reconciler that stops leaves what it has only taken", async (t) => {
  const { table, world, reconciler } = build();
  table.upsertMany(batches(2));
  reconciler.start();
  await until(() => world.events.length === 1 && world.held === 1);
  const stopped = reconciler.stop();
  world.letOneGo();
  await stopped;
  t.deepEqual(world.events, ["prepare 256", "update 0"]);
  t.is(world.state.size, batchSize);
});
