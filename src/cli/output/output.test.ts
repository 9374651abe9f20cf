import test from "ava";
import { styleFor } from "./io.ts";
import { plain, word } from "./plain.ts";
import { facts, table } from "./table.ts";
import { ago, span } from "./time.ts";

test("columns line up even where text is painted", (t) => {
  const style = styleFor({ isTTY: true }, {});
  const text = table(
    ["A", "B"],
    [
      [style.good("yes"), "1"],
      ["no", "2"],
    ],
  );
  t.deepEqual(
    text.split("\n").map((line) => line.replace(/^.*?(\S)$/, (_, last: string) => last)),
    ["B", "1", "2", ""],
  );
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
  t.is(text.replace(/\u001b\[\d+m/g, ""), "A    B\nyes  1\nno   2\n");
});

test("no colour without a terminal, and none with NO_COLOR", (t) => {
  t.is(styleFor({}, {}).bad("x"), "x");
  t.is(styleFor({ isTTY: true }, { NO_COLOR: "1" }).bad("x"), "x");
  t.not(styleFor({ isTTY: true }, {}).bad("x"), "x");
});

test("facts leave out what is not known and indent what goes on", (t) => {
  t.is(
    facts([
      ["A", "1"],
      ["Long", "x\ny"],
      ["None", undefined],
    ]),
    "A     1\nLong  x\n      y\n",
  );
});

test("messages become plain data", (t) => {
  const message = {
    id: 5n,
    big: 2n ** 63n,
    at: new Date(0),
    raw: Buffer.from([1, 255]),
    state: 2,
    states: [1, 2],
    gone: undefined,
    change: { $case: "upsert", value: { state: 1 } },
  };
  t.deepEqual(plain(message, { state: { NEW: 1, NOT_READY: 2 }, states: { NEW: 1, NOT_READY: 2 } }), {
    id: 5,
    big: "9223372036854775808",
    at: "1970-01-01T00:00:00.000Z",
    raw: "01ff",
    state: "not-ready",
    states: ["new", "not-ready"],
    upsert: { state: "new" },
  });
});

test("an enum number that is not known shows as itself", (t) => {
  t.is(word({ A: 0 }, 9), "9");
});

test("spans are told in two units", (t) => {
  t.is(span(0), "0s");
  t.is(span(65_000), "1m 5s");
  t.is(span(90_061_000), "1d 1h");
  t.is(ago(undefined), "-");
  t.is(ago(new Date(1_000), 4_000), "3s ago");
});
