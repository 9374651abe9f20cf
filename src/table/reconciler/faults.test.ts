import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import test from "ava";
import { Database, ReconcileError, Reconciler, type ReconcilerOps } from "../index.ts";

interface Item {
  readonly id: number;
  readonly v: number;
}

/** A world that fails and dawdles at random until it is told to behave. */
class Flaky implements ReconcilerOps<Item> {
  readonly state = new Map<number, number>();
  faults = true;
  overlapping = false;
  #busy = false;

  async update(rows: readonly Item[]) {
    return await this.#perform(rows, (row) => this.state.set(row.id, row.v));
  }

  async delete(rows: readonly Item[]) {
    return await this.#perform(rows, (row) => this.state.delete(row.id));
  }

  async prune(all: Iterable<Item>) {
    return await this.#alone(() => {
      const wanted = new Set([...all].map((row) => row.id));
      const gone = [...this.state.keys()].filter((id) => !wanted.has(id));
      for (const id of gone) this.state.delete(id);
      return { removed: gone.length };
    });
  }

  async #perform(rows: readonly Item[], apply: (row: Item) => void) {
    return await this.#alone(() =>
      rows.map((row) => {
        const fault = this.faults ? Math.random() : 1;
        if (fault < 0.15) return new Error("nothing done");
        apply(row);
        return fault < 0.3 ? new Error("done, but reported as failed") : undefined;
      }),
    );
  }

  async #alone<T>(work: () => T): Promise<T> {
    this.overlapping ||= this.#busy;
    this.#busy = true;
    try {
      for (let turns = Math.floor(Math.random() * 3); turns > 0; turns--) await turn();
      const fault = this.faults ? Math.random() : 1;
      if (fault < 0.1) throw new Error("the call failed before it did anything");
      const result = work();
      if (fault < 0.2) throw new Error("the call failed after it did everything");
      return result;
    } finally {
      this.#busy = false;
    }
  }
}

test("whatever fails, the world ends up as the table says", async (t) => {
  const db = new Database();
  const table = db.createTable({ name: "items", key: (row: Item) => row.id });
  const world = new Flaky();
  for (let id = 0; id < 300; id += 3) world.state.set(id, -1);
  const reconciler = new Reconciler({
    name: "items",
    table,
    ops: world,
    batchSize: 16,
    retryMinMs: 1,
    retryMaxMs: 10,
    pruneIntervalMs: 20,
    refreshIntervalMs: 15,
  });
  reconciler.start();
  let kept = 0;
  let broken = 0;
  const waits: Promise<void>[] = [];
  for (let step = 0; step < 400; step++) {
    const id = Math.floor(Math.random() * 200);
    if (Math.random() < 0.3) table.deleteMany([id, id + 1]);
    else {
      const v = step;
      const revision = table.upsertMany([
        { id, v },
        { id: id + 50, v },
      ]);
      const promise = reconciler.waitReconciled(revision, undefined, [id]).then(
        () => {
          kept++;
          // The row may have been written or deleted since, but it is never older than promised.
          const now = world.state.get(id);
          if (table.getWithRevision(id)?.revision === revision) t.is(now, v);
        },
        (error) => {
          t.true(error instanceof ReconcileError);
          broken++;
        },
      );
      waits.push(promise);
    }
    if (step % 7 === 0) await sleep(1);
  }
  await Promise.all(waits);
  t.true(kept > 0 && broken > 0, `${kept} promises kept, ${broken} refused`);

  world.faults = false;
  while (reconciler.metrics().inError > 0 || reconciler.metrics().revision < db.revision) await turn();
  await reconciler.waitReconciled(db.revision);
  await reconciler.prune();
  t.deepEqual(
    [...world.state].sort(([a], [b]) => a - b),
    table.lowerBound(0).map(({ id, v }) => [id, v] as [number, number]),
  );
  for (const { id } of table.list()) t.true(["done", "refreshing"].includes(reconciler.status(id)!.kind));
  t.false(world.overlapping);
  t.true(reconciler.metrics().errors > 50);
  await reconciler.stop();
});
