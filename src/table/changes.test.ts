import test from "ava";
import {
  type Change,
  CursorClosedError,
  Database,
  InvalidDefinitionError,
  RevisionCompactedError,
} from "./index.ts";

interface Item {
  readonly id: number;
  readonly v: string;
}

const item = (id: number, v = ""): Item => ({ id, v });

function build() {
  const db = new Database();
  const items = db.createTable({ name: "items", key: (row: Item) => row.id });
  const others = db.createTable({ name: "others", key: (row: Item) => row.id });
  return { db, items, others };
}

const show = (change: Change<Item, number>) =>
  change.kind === "sync"
    ? `sync@${change.revision}`
    : `${change.kind} ${change.key}${change.row.v}@${change.revision}`;

test("a change stream is a snapshot, a sync mark, and then every change", (t) => {
  const { items } = build();
  items.upsert(item(1, "a"));
  items.upsert(item(2, "b"));
  items.upsert(item(1, "c"));
  items.upsert(item(3));
  items.delete(3);
  const seen: string[] = [];
  const subscription = items.changes().subscribe((change) => seen.push(show(change)));
  items.upsertMany([item(4), item(5)]);
  items.delete(2);
  items.upsert(item(2, "d"));
  subscription.unsubscribe();
  items.upsert(item(6));
  t.deepEqual(seen, [
    "upsert 2b@2",
    "upsert 1c@3",
    "sync@5",
    "upsert 4@6",
    "upsert 5@6",
    "delete 2b@7",
    "upsert 2d@8",
  ]);
});

test("a batch stream keeps transactions together", (t) => {
  const { items } = build();
  items.upsert(item(1));
  const seen: string[][] = [];
  items.changeBatches().subscribe((changes) => seen.push(changes.map(show)));
  items.transaction(() => {
    items.upsert(item(2));
    items.delete(1);
  });
  t.deepEqual(seen, [
    ["upsert 1@1", "sync@1"],
    ["upsert 2@2", "delete 1@2"],
  ]);
});

test("all subscribers see changes in revision order, even those that subscribers make", (t) => {
  const { items } = build();
  const first: string[] = [];
  const second: string[] = [];
  items.changes().subscribe((change) => {
    first.push(show(change));
    if (change.kind === "upsert" && change.key < 3) items.upsert(item(change.key + 1));
  });
  items.changes().subscribe((change) => second.push(show(change)));
  items.upsert(item(1));
  const expected = ["sync@0", "upsert 1@1", "upsert 2@2", "upsert 3@3"];
  t.deepEqual(first, expected);
  t.deepEqual(second, expected);
});

test("what is written while the snapshot is delivered is delivered after it", (t) => {
  const { items } = build();
  items.upsert(item(1));
  const seen: string[] = [];
  items.changes().subscribe((change) => {
    seen.push(show(change));
    if (change.kind === "upsert" && change.key === 1) items.upsert(item(2));
    if (change.kind === "upsert" && change.key === 2) items.upsert(item(3));
  });
  items.upsert(item(4));
  t.deepEqual(seen, ["upsert 1@1", "sync@1", "upsert 2@2", "upsert 3@3", "upsert 4@4"]);
});

test("who subscribes while changes are delivered sees each once", (t) => {
  const { items } = build();
  const late: string[] = [];
  items.changes().subscribe((change) => {
    if (change.kind !== "upsert") return;
    if (change.key === 1) {
      items.upsert(item(2));
      items.changes().subscribe((inner) => late.push(show(inner)));
    }
  });
  items.upsert(item(1));
  items.upsert(item(3));
  t.deepEqual(late, ["upsert 1@1", "upsert 2@2", "sync@2", "upsert 3@3"]);
});

test("a subscriber inside a transaction sees only what is committed", (t) => {
  const { db, items } = build();
  items.upsert(item(1));
  const seen: string[] = [];
  db.transaction(() => {
    items.upsert(item(2));
    items.changes().subscribe((change) => seen.push(show(change)));
    t.deepEqual(seen, ["upsert 1@1", "sync@1"]);
  });
  t.deepEqual(seen, ["upsert 1@1", "sync@1", "upsert 2@2"]);
});

test("a cursor hands out all rows, then changes coalesced per key in revision order", (t) => {
  const { items } = build();
  items.upsertMany([item(1, "a"), item(2, "b")]);
  using cursor = items.changeCursor();
  t.deepEqual(cursor.next().map(show), ["upsert 1a@1", "upsert 2b@1"]);
  t.deepEqual(cursor.next(), []);
  items.upsert(item(2, "c"));
  items.upsert(item(1, "d"));
  items.delete(2);
  items.upsert(item(3, "e"));
  items.upsert(item(1, "f"));
  const changes = cursor.next();
  t.deepEqual(changes.map(show), ["delete 2c@4", "upsert 3e@5", "upsert 1f@6"]);
  t.deepEqual(
    changes.map((change) => change.since),
    [2, 5, 3],
  );
});

test("a cursor can be read in parts, while the table changes", (t) => {
  const { items } = build();
  items.upsertMany([item(1), item(2), item(3), item(4)]);
  using cursor = items.changeCursor();
  t.deepEqual(cursor.next(2).map(show), ["upsert 1@1", "upsert 2@1"]);
  items.upsert(item(1, "x"));
  items.delete(3);
  t.deepEqual(cursor.next(1).map(show), ["upsert 4@1"]);
  t.deepEqual(cursor.next(5).map(show), ["upsert 1x@2", "delete 3@3"]);
  t.false(cursor.pending);
});

test("a new cursor does not hear of rows deleted before it, an old one does", (t) => {
  const { items } = build();
  items.upsertMany([item(1), item(2)]);
  using old = items.changeCursor();
  old.next();
  items.delete(1);
  using fresh = items.changeCursor();
  t.deepEqual(fresh.next().map(show), ["upsert 2@1"]);
  t.deepEqual(old.next().map(show), ["delete 1@2"]);
  items.delete(2);
  t.deepEqual(fresh.next().map(show), ["delete 2@3"]);
});

test("a deleted row that returns is told of as it is", (t) => {
  const { items } = build();
  items.upsert(item(1));
  using cursor = items.changeCursor();
  cursor.next();
  items.delete(1);
  items.upsert(item(1, "again"));
  t.deepEqual(cursor.next().map(show), ["upsert 1again@3"]);
});

test("a cursor's revision waits for rows that were written again", (t) => {
  const { items, others } = build();
  using cursor = items.changeCursor();
  items.upsert(item(1));
  items.upsert(item(2));
  items.upsert(item(3));
  items.upsert(item(1, "x"));
  t.is(cursor.revision, 0);
  cursor.next(2);
  t.is(cursor.revision, 0, "row 1 as of revision 1 has not been handed out");
  cursor.next(1);
  t.is(cursor.revision, 4);
  others.upsert(item(1));
  t.is(cursor.revision, 5, "another table does not hold it back");
});

test("changesFrom continues where a reader left off", (t) => {
  const { items } = build();
  using keeper = items.changeCursor();
  items.upsert(item(1));
  items.upsert(item(2));
  items.upsert(item(3));
  items.delete(1);
  using cursor = items.changesFrom(2);
  t.deepEqual(cursor.next().map(show), ["upsert 3@3", "delete 1@4"]);
  using later = items.changesFrom(99);
  t.deepEqual(later.next(), []);
  t.deepEqual(keeper.next().map(show), ["upsert 2@2", "upsert 3@3", "delete 1@4"]);
});

test("changesFrom refuses a revision after which deletions are forgotten", (t) => {
  const { items } = build();
  items.upsertMany([item(1), item(2)]);
  const cursor = items.changesFrom(1);
  items.delete(1);
  using within = items.changesFrom(1);
  t.is(within.next().length, 1);
  cursor.close();
  t.throws(() => items.changesFrom(1), { instanceOf: RevisionCompactedError, message: /deletions up to 2/ });
  t.notThrows(() => items.changesFrom(2).close());
  t.notThrows(() => items.changesFrom(0).close(), "a reader who knows nothing misses no deletion");
  t.throws(() => items.changesFrom(-1), { instanceOf: InvalidDefinitionError });
});

test("waiting on a cursor ends with the next change to its table", async (t) => {
  const { items, others } = build();
  using cursor = items.changeCursor();
  let woken = false;
  const waiting = cursor.wait().then(() => {
    woken = true;
  });
  others.upsert(item(1));
  await new Promise(setImmediate);
  t.false(woken);
  items.upsert(item(1));
  await waiting;
  await cursor.wait();
  t.is(cursor.next().length, 1);
});

test("waiting on a cursor ends with its signal or with the cursor", async (t) => {
  const { items } = build();
  const cursor = items.changeCursor();
  const controller = new AbortController();
  const aborted = cursor.wait(controller.signal);
  const closed = cursor.wait();
  controller.abort(new Error("enough"));
  cursor.close();
  cursor.close();
  await t.throwsAsync(aborted, { message: "enough" });
  await t.throwsAsync(closed, { instanceOf: CursorClosedError });
  await t.throwsAsync(cursor.wait(), { instanceOf: CursorClosedError });
  t.throws(() => cursor.next(), { instanceOf: CursorClosedError });
});

test("a cursor refuses a limit that is none", (t) => {
  using cursor = build().items.changeCursor();
  t.throws(() => cursor.next(0), { instanceOf: InvalidDefinitionError });
  t.throws(() => cursor.next(Number.NaN), { instanceOf: InvalidDefinitionError });
});
