import test from "ava";
import { flag } from "./flag.ts";

test("an int is decimal or hexadecimal and whole", (t) => {
  const count = flag.int({ default: 1, help: "" });
  t.is(count.parse("42"), 42);
  t.is(count.parse("-7"), -7);
  t.is(count.parse("0xff"), 255);
  for (const text of ["", "1.5", "1e3", "twelve", "99999999999999999999"]) t.throws(() => count.parse(text));
  t.throws(() => count.accept("1"));
});

test("a bool is true, false, 1 or 0", (t) => {
  const on = flag.bool({ default: false, help: "" });
  t.true(on.parse("TRUE"));
  t.false(on.parse("0"));
  t.throws(() => on.parse("yes"), { message: '"yes" is not true or false' });
});

test("a duration's default is written as text or as milliseconds", (t) => {
  t.is(flag.duration({ default: "2s", help: "" }).default, 2_000);
  t.is(flag.duration({ default: 5, help: "" }).default, 5);
});

test("a list is split at commas, a map at commas and equals signs", (t) => {
  t.deepEqual(flag.list({ default: [], help: "" }).parse(" a, b,,c"), ["a", "b", "c"]);
  const labels = flag.map({ default: {}, help: "" });
  t.deepEqual(labels.parse("a=1, b=x=y"), { a: "1", b: "x=y" });
  t.throws(() => labels.parse("a"), { message: '"a" is not key=value' });
  t.throws(() => labels.parse("a=1,a=2"), { message: 'the key "a" is given twice' });
});

test("a choice takes its words only and says which they are", (t) => {
  const mode = flag.choice({ choices: ["tcx", "clsact"], default: "tcx", help: "" });
  t.is(mode.parse("clsact"), "clsact");
  t.throws(() => mode.parse("xdp"), { message: '"xdp" is not one of tcx, clsact' });
});

test("what a flag formats it can parse", (t) => {
  const labels = flag.map({ default: { a: "1", b: "2" }, help: "" });
  t.deepEqual(labels.parse(labels.format(labels.default)), { a: "1", b: "2" });
  const wait = flag.duration({ default: "1m30s", help: "" });
  t.is(wait.format(wait.default), "1m30s");
});

test("a flag's own rule refuses what parses well", (t) => {
  const port = flag.int({ default: 80, help: "", validate: (n) => (n > 0 ? undefined : "must be positive") });
  t.notThrows(() => port.check(1));
  t.throws(() => port.check(0), { instanceOf: RangeError, message: "must be positive" });
});
