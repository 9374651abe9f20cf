import test from "ava";
import {
  type Change,
  type ChangeCursor,
  Database,
  RevisionCompactedError,
  UniqueIndexError,
} from "./index.ts";

interface Row {
  readonly id: string;
  readonly group: number;
  readonly unique: string;
  readonly cidr: string;
}

/** A small generator of repeatable random numbers (mulberry32). */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** What a table should be: a map that is copied whenever a moment is to be kept. */
type Model = Map<string, Row>;

const sorted = (rows: Iterable<Row>) => [...rows].sort((a, b) => (a.id < b.id ? -1 : 1));

const KEYS = 12;

function randomRow(random: (below: number) => number): Row {
  const length = [0, 4, 8, 9, 16, 24, 31, 32][random(8)]!;
  return {
    id: `k${random(KEYS)}`,
    group: random(4),
    unique: `u${random(3 * KEYS)}`,
    cidr: `${random(4) * 64}.${random(2)}.0.${random(2)}/${length}`,
  };
}

const addressOf = (text: string) => text.split(".").reduce((all, part) => all * 256 + Number(part), 0);

function longestPrefixOf(model: Model, ip: string): number | undefined {
  let best: number | undefined;
  for (const { cidr } of model.values()) {
    const [network, length] = cidr.split("/") as [string, string];
    const size = 2 ** (32 - Number(length));
    if (Math.floor(addressOf(network) / size) !== Math.floor(addressOf(ip) / size)) continue;
    if (best === undefined || Number(length) > best) best = Number(length);
  }
  return best;
}

function open(seed: number) {
  const random = randomOf(seed);
  const db = new Database();
  const table = db.createTable({
    name: "rows",
    key: (row: Row) => row.id,
    indexes: {
      group: { keys: (row: Row) => [row.group, `g${row.group}`] },
      unique: { keys: (row: Row) => [row.unique], unique: true },
      cidr: { cidr: (row: Row) => row.cidr },
    },
  });
  return { random, db, table };
}

type Readable = Pick<
  ReturnType<typeof open>["table"],
  "list" | "get" | "byIndex" | "prefix" | "lowerBound" | "longestPrefix" | "size"
>;

/** Everything a reader can ask, answered by the model. */
function disagreement(table: Readable, model: Model, random: (below: number) => number): unknown {
  const group = random(4);
  const from = `k${random(KEYS)}`;
  const ip = `${random(4) * 64}.${random(2)}.0.${random(2)}`;
  const inGroup = sorted([...model.values()].filter((row) => row.group === group));
  const best = table.longestPrefix("cidr", ip);
  const pairs: [string, unknown, unknown][] = [
    ["size", table.size, model.size],
    ["list", sorted(table.list()), sorted(model.values())],
    ["get", table.get(from), model.get(from)],
    ["byIndex", sorted(table.byIndex("group", group)), inGroup],
    ["prefix of index", sorted(table.prefix("group", `g${group}`)), inGroup],
    ["prefix", table.prefix("k1"), sorted(model.values()).filter((row) => row.id.startsWith("k1"))],
    ["lowerBound", table.lowerBound(from), sorted(model.values()).filter((row) => row.id >= from)],
    ["longestPrefix", best && Number(best.cidr.split("/")[1]), longestPrefixOf(model, ip)],
  ];
  return pairs.find(([, actual, expected]) => JSON.stringify(actual) !== JSON.stringify(expected));
}

for (const seed of [1, 2, 3, 4, 5]) {
  test(`tables, snapshots, streams and cursors agree with a naive model (seed ${seed})`, (t) => {
    const { random, db, table } = open(seed);
    let model: Model = new Map();
    const streamed: Model = new Map();
    const mirrors: { cursor: ChangeCursor<Row, string>; rows: Model; at: number }[] = [];
    const snapshots: { snapshot: ReturnType<typeof table.snapshot>; model: Model }[] = [];
    let streamRevision = 0;
    const apply = (rows: Model, change: Change<Row, string>) => {
      if (change.kind === "upsert") rows.set(change.key, change.row);
      else if (change.kind === "delete") rows.delete(change.key);
    };
    table.changes().subscribe((change) => {
      t.true(change.revision >= streamRevision);
      streamRevision = change.revision;
      apply(streamed, change);
    });

    const write = () => {
      for (let n = random(4); n >= 0; n--) {
        if (random(3) > 0) {
          const row = randomRow(random);
          table.upsert(row);
          model.set(row.id, row);
        } else {
          const id = `k${random(KEYS)}`;
          t.is(table.delete(id), model.get(id));
          model.delete(id);
        }
      }
      if (random(5) === 0) throw new Error("roll back");
    };

    for (let step = 0; step < 2000; step++) {
      const before = new Map(model);
      try {
        if (random(2) > 0) db.transaction(write);
        else {
          const row = randomRow(random);
          table.upsert(row);
          model.set(row.id, row);
        }
      } catch (error) {
        if (!(error instanceof UniqueIndexError) && (error as Error).message !== "roll back") throw error;
        model = before;
      }

      if (random(40) === 0) mirrors.push({ cursor: table.changeCursor(), rows: new Map(), at: 0 });
      if (random(40) === 0) mirrors.shift()?.cursor.close();
      const mirror = mirrors[random(8)];
      if (mirror) {
        for (const change of mirror.cursor.next(1 + random(9))) {
          t.true(change.revision >= mirror.at && change.since <= change.revision);
          mirror.at = change.revision;
          apply(mirror.rows, change);
        }
        if (!mirror.cursor.pending) {
          t.deepEqual(sorted(mirror.rows.values()), sorted(model.values()));
          t.is(mirror.cursor.revision, db.revision);
          if (random(4) === 0) {
            // Start over from where the mirror is: nothing may be lost.
            mirror.cursor.close();
            mirror.cursor = table.changesFrom(Math.max(db.revision, 1));
          }
        }
      }
      if (random(30) === 0) snapshots.push({ snapshot: table.snapshot(), model: new Map(model) });
      if (random(50) === 0) snapshots.shift();

      t.is(disagreement(table, model, random), undefined);
      const kept = snapshots[random(6)];
      if (kept) t.is(disagreement(kept.snapshot, kept.model, random), undefined);
    }
    t.deepEqual(sorted(streamed.values()), sorted(model.values()));
    for (const { cursor } of mirrors) cursor.close();
    t.true(db.revision > 1000);
  });
}

test("changesFrom any revision either catches up fully or says that it cannot", (t) => {
  const { random, db, table } = open(9);
  const history: Model[] = [new Map()];
  using _keeper = table.changeCursor();
  let trimmed = 0;
  while (db.revision < 200) {
    const model = new Map(history.at(-1));
    if (random(2) === 0) {
      const row = { ...randomRow(random), unique: String(db.revision) };
      table.upsert(row);
      model.set(row.id, row);
    } else {
      const id = `k${random(KEYS)}`;
      if (!table.delete(id)) continue;
      model.delete(id);
    }
    history.push(model);
    if (random(20) === 0) _keeper.next();
    for (let from = 1; from <= db.revision; from += 7) {
      const rows = new Map(history[from]);
      try {
        using cursor = table.changesFrom(from);
        for (const change of cursor.next()) {
          if (change.kind === "upsert") rows.set(change.key, change.row);
          else rows.delete(change.key);
        }
        t.deepEqual(sorted(rows.values()), sorted(model.values()));
      } catch (error) {
        if (!(error instanceof RevisionCompactedError)) throw error;
        trimmed++;
      }
    }
  }
  t.true(trimmed > 0);
});
