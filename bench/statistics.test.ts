import test from "ava";
import { ratio, summarise } from "./statistics.ts";

test("a summary is the median with its quartiles, whatever the order of the samples", (t) => {
  t.deepEqual(summarise([5, 1, 3, 2, 4]), { median: 3, low: 2, high: 4, samples: 5 });
});

test("a ratio compares neighbours, so a disturbed round does not count twice", (t) => {
  const disturbed = 10;
  t.is(ratio([2, 2 * disturbed, 2], [1, 1 * disturbed, 1]).median, 2);
});

test("rounds that do not pair up are refused", (t) => {
  t.throws(() => ratio([1, 2], [1]), { instanceOf: RangeError, message: /2 rounds .* 1/ });
});

test("no samples are no summary", (t) => {
  t.throws(() => summarise([]), { instanceOf: RangeError });
});
