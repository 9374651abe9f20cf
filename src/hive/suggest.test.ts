import test from "ava";
import { editDistance, nearest } from "./suggest.ts";

test("the edit distance counts insertions, deletions and replacements", (t) => {
  t.is(editDistance("kitten", "sitting"), 3);
  t.is(editDistance("", "abc"), 3);
  t.is(editDistance("same", "same"), 0);
});

test("the nearest word is suggested, a far one is not", (t) => {
  t.is(nearest("log-levle", ["log-format", "log-level"]), "log-level");
  t.is(nearest("zzz", ["log-level"]), undefined);
});
