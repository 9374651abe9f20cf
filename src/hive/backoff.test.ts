import test from "ava";
import { backoffDelay, sleep, withJitter } from "./backoff.ts";

test("delays grow by the factor up to the maximum", (t) => {
  const backoff = { minMs: 10, maxMs: 50, factor: 2, jitter: 0 };
  t.deepEqual(
    [1, 2, 3, 4, 1_000].map((failures) => backoffDelay(backoff, failures)),
    [10, 20, 40, 50, 50],
  );
});

test("jitter takes away up to its share", (t) => {
  t.is(
    withJitter(100, 0.5, () => 0),
    100,
  );
  t.is(
    withJitter(100, 0.5, () => 1),
    50,
  );
  t.is(
    withJitter(100, 0, () => 1),
    100,
  );
});

test("a sleep ends early, without an error, when its signal aborts", async (t) => {
  const controller = new AbortController();
  const sleeping = sleep(60_000, controller.signal);
  controller.abort();
  await t.notThrowsAsync(sleeping);
});
