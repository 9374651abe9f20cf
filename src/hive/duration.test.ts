import test from "ava";
import { formatDuration, parseDuration } from "./duration.ts";

test("a duration is a sum of amounts with units", (t) => {
  t.is(parseDuration("250ms"), 250);
  t.is(parseDuration("1.5s"), 1_500);
  t.is(parseDuration("1h30m"), 5_400_000);
  t.is(parseDuration("1d"), 86_400_000);
  t.is(parseDuration("0"), 0);
});

test("a duration without a unit, with a sign or with junk is refused", (t) => {
  for (const text of ["", "5", "-1s", "1s!", "s", "1 s", "1y"]) {
    t.throws(() => parseDuration(text), { instanceOf: SyntaxError }, text);
  }
});

test("a formatted duration parses to itself", (t) => {
  for (const ms of [0, 1, 999, 1_000, 61_001, 5_400_000, 90_061_007])
    t.is(parseDuration(formatDuration(ms)), ms);
});
