import test from "ava";
import { fold } from "./fold.ts";

test("long lines are broken between words and stay indented", (t) => {
  t.is(fold("short\n   one two three four\n", 12), "short\n   one two\n   three\n   four\n");
});

test("what fits, and what no terminal shows, stays as it is", (t) => {
  const text = "   one   two\n   three\n";
  t.is(fold(text, 12), text);
  t.is(fold("a very long line", undefined), "a very long line");
});

test("colours take no place, and a word too wide for a line stays whole", (t) => {
  t.is(fold("\x1b[2mone two\x1b[22m", 7), "\x1b[2mone two\x1b[22m");
  t.is(fold("see http://example.org/x now", 10), "see\nhttp://example.org/x\nnow");
});
