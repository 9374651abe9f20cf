import test from "ava";
import { Entry } from "./entry.ts";
import { History } from "./history.ts";

function build() {
  let revision = 0;
  const rows = new Map<number, Entry<string, number>>();
  const history = new History<string, number>(
    "t",
    () => revision,
    (key) => rows.get(key),
  );
  const write = (key: number, row: string | undefined) => {
    revision++;
    const before = rows.get(key);
    const stamp = { revision, at: 0 };
    const after = row === undefined ? undefined : new Entry(key, row, stamp, false);
    if (after) rows.set(key, after);
    else rows.delete(key);
    history.record(before, after, stamp);
    history.committed();
  };
  return { history, write };
}

test("deleted rows are forgotten at once when no cursor is open", (t) => {
  const { history, write } = build();
  write(1, "a");
  write(1, undefined);
  t.is(history.graves, 0);
});

test("deleted rows are remembered until the slowest cursor has passed them", (t) => {
  const { history, write } = build();
  for (const key of [1, 2, 3]) write(key, "a");
  const slow = history.openAtStart();
  const fast = history.openAtStart();
  fast.next();
  write(1, undefined);
  write(2, undefined);
  fast.next();
  t.is(history.graves, 2);
  slow.next(2);
  t.is(history.graves, 1, "row 3 and the first tombstone have been handed out");
  slow.close();
  t.is(history.graves, 0);
});

test("a thousand cursors and writes leave nothing behind", (t) => {
  const { history, write } = build();
  for (let i = 0; i < 1000; i++) {
    const cursor = history.openAfter(i);
    write(i % 10, i % 3 === 0 ? undefined : "x");
    if (i % 2 === 0) cursor.next();
    cursor.close();
  }
  t.is(history.graves, 0);
  t.true([...history.live()].length <= 10);
});
