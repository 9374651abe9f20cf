import { monitorEventLoopDelay } from "node:perf_hooks";
import test from "ava";
import { Database, Reconciler, type ReconcilerOps } from "../index.ts";

interface Entry {
  readonly ip: string;
  readonly identity: number;
}

const ROWS = 100_000;

const ipOf = (i: number) => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;

class World implements ReconcilerOps<Entry> {
  readonly state = new Map<string, number>();

  async update(rows: readonly Entry[]) {
    for (const row of rows) this.state.set(row.ip, row.identity);
    return new Array<undefined>(rows.length).fill(undefined);
  }

  async delete(rows: readonly Entry[]) {
    for (const row of rows) this.state.delete(row.ip);
    return new Array<undefined>(rows.length).fill(undefined);
  }

  async prune() {
    return { removed: 0 };
  }
}

test.serial("100,000 rows are written and reconciled without holding up the event loop", async (t) => {
  const db = new Database();
  const table = db.createTable({
    name: "ipcache",
    key: (row: Entry) => row.ip,
    indexes: {
      identity: { keys: (row: Entry) => [row.identity] },
      cidr: { cidr: (row: Entry) => row.ip },
    },
  });
  const world = new World();
  const reconciler = new Reconciler({ name: "ipcache", table, ops: world });
  let started = performance.now();
  table.upsertMany(Array.from({ length: ROWS }, (_, i) => ({ ip: ipOf(i), identity: i % 1000 })));
  const writeMs = performance.now() - started;

  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  started = performance.now();
  reconciler.start();
  await reconciler.waitReconciled(db.revision);
  const reconcileMs = performance.now() - started;
  delay.disable();
  t.is(world.state.size, ROWS);

  started = performance.now();
  const single = 1000;
  for (let i = 0; i < single; i++) {
    await reconciler.waitReconciled(table.upsert({ ip: ipOf(i * 7), identity: 5000 }));
  }
  const eachMs = (performance.now() - started) / single;
  started = performance.now();
  for (let i = 0; i < single; i++) table.longestPrefix("cidr", ipOf(i * 7));
  const lookupMs = (performance.now() - started) / single;
  t.is(table.byIndex("identity", 5000).length, single);

  const ms = (value: number) => `${value.toFixed(3)} ms`;
  t.log(`write ${ms(writeMs)}, reconcile ${ms(reconcileMs)}, one row of ${ROWS} ${ms(eachMs)}`);
  t.log(
    `longest prefix ${ms(lookupMs)}, event loop p99 ${ms(delay.percentile(99) / 1e6)}, max ${ms(delay.max / 1e6)}`,
  );
  t.true(writeMs + reconcileMs < 15_000);
  t.true(eachMs < reconcileMs / 20, "a change costs in proportion to itself, not to the table");
  await reconciler.stop();
});

test.serial("a row costs the same to write in a large table as in a small one", (t) => {
  const cost = (size: number) => {
    const db = new Database();
    const table = db.createTable({
      name: "rows",
      key: (row: { id: number; v: number }) => row.id,
      indexes: { v: { keys: (row: { id: number; v: number }) => [row.v] } },
    });
    table.upsertMany(Array.from({ length: size }, (_, id) => ({ id, v: 0 })));
    using cursor = table.changeCursor();
    cursor.next();
    const run = () => {
      const started = performance.now();
      for (let i = 0; i < 2000; i++) {
        table.upsert({ id: (i * 31) % size, v: i });
        table.snapshot();
        cursor.next();
      }
      return performance.now() - started;
    };
    return Math.min(run(), run(), run());
  };
  const small = cost(1000);
  const large = cost(ROWS);
  t.log(
    `2000 writes, snapshots and reads: ${small.toFixed(1)} ms of 1,000, ${large.toFixed(1)} ms of ${ROWS}`,
  );
  // A hundred times the rows: deeper trees, and caches that they do not fit, cost up to ten times as much on a busy machine.
  t.true(large < small * 25, `${small} ms against ${large} ms`);
});
