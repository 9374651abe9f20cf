import { readFileSync } from "node:fs";
import test from "ava";
import { DropReason, isDropReason, reasonName, sourceFileName } from "./drop-reasons.ts";

/** `#define NAME (-132)` and `#define NAME 3` of a header. */
function defines(path: string, prefix: string): ReadonlyMap<string, number> {
  const text = readFileSync(new URL(`../../bpf/include/waggle/${path}`, import.meta.url), "utf8");
  const found = text.matchAll(/^#define (\w+) \(?(-?\d+)\)?/gm);
  return new Map(
    [...found]
      .filter(([, name]) => name!.startsWith(prefix))
      .map(([, name, number]) => [name!, Number(number)]),
  );
}

test("the reasons that programs give are those known here, each with words", (t) => {
  const inC = defines("drop_reasons.h", "DROP_");
  t.deepEqual(
    [...inC.values()].map((number) => -number).sort(),
    (Object.values(DropReason) as number[]).sort(),
  );
  for (const number of inC.values()) {
    t.true(isDropReason(number));
    t.notRegex(reasonName(number), /^Reason/);
  }
  t.is(reasonName(-133), "Policy denied");
  t.is(reasonName(250), "Reason 250");
});

test("the source files that programs name are known here", (t) => {
  for (const [name, number] of defines("internal/report.h", "FILE_")) {
    t.regex(sourceFileName(number), /^\w+\.[ch]$/, name);
  }
  t.is(sourceFileName(99), "file 99");
});
