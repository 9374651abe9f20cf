import test from "ava";
import { Heap } from "./heap.ts";
import { Retries, retryDelay } from "./retries.ts";
import type { Task } from "./task.ts";

const task = (key: string, revision = 1): Task<string, string> => ({
  kind: "upsert",
  key,
  row: key,
  revision,
  since: revision,
});

test("a heap pops its elements in order, whatever the order of pushes", (t) => {
  const heap = new Heap<number>((a, b) => a - b);
  const values = Array.from({ length: 500 }, (_, i) => (i * 7919) % 503);
  const popped: number[] = [];
  for (const [i, value] of values.entries()) {
    heap.push(value);
    if (i % 5 === 0) heap.push(heap.pop()!);
  }
  for (let value = heap.pop(); value !== undefined; value = heap.pop()) popped.push(value);
  t.deepEqual(
    popped,
    values.toSorted((a, b) => a - b),
  );
  t.is(heap.peek(), undefined);
});

test("the delay doubles from its minimum to its maximum, spread by a quarter either way", (t) => {
  const middle = [0, 1, 2, 3, 9, 10, 1000].map((attempts) => retryDelay(attempts, 100, 60_000, 0.5));
  t.deepEqual(middle, [100, 200, 400, 800, 51_200, 60_000, 60_000]);
  t.is(retryDelay(3, 100, 60_000, 0), 600);
  t.is(retryDelay(3, 100, 60_000, 0.999_999), 999.9996);
  t.is(retryDelay(0, 100, 60_000, 0), 100, "never below the minimum");
  t.is(retryDelay(20, 100, 60_000, 1), 60_000, "never above the maximum");
});

test("failures are due in the order of their delays, and only once", (t) => {
  const retries = new Retries<string, string>(100, 60_000);
  retries.fail(task("late"), new Error("x"), 5, 1000);
  retries.fail(task("soon"), new Error("x"), 0, 1000);
  t.deepEqual(retries.takeDue(1000, 10), []);
  t.true(retries.nextAt >= 1100 && retries.nextAt <= 1125);
  t.deepEqual(
    retries.takeDue(1200, 10).map((failure) => failure.task.key),
    ["soon"],
  );
  t.deepEqual(retries.takeDue(1200, 10), []);
  t.is(retries.size, 2, "until its attempt ends, a row is in error");
  retries.succeed("soon");
  t.is(retries.takeDue(100_000, 10).length, 1);
  t.is(retries.nextAt, Number.POSITIVE_INFINITY);
});

test("a failure that is replaced or over is not due", (t) => {
  const retries = new Retries<string, string>(100, 60_000);
  retries.fail(task("a", 1), new Error("first"), 0, 0);
  retries.fail(task("a", 2), new Error("second"), 0, 0);
  retries.fail(task("b"), new Error("x"), 0, 0);
  retries.succeed("b");
  const due = retries.takeDue(1000, 10);
  t.deepEqual(
    due.map(({ task: { revision }, error, attempts }) => [revision, error.message, attempts]),
    [[2, "second", 1]],
  );
});
