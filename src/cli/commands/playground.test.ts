import test from "ava";
import { splitForeignCommand } from "./playground.ts";

const split = (line: string): readonly [string, string | undefined] => {
  const { own, foreign } = splitForeignCommand(line.split(" "), 1);
  return [own.join(" "), foreign?.join(" ")];
};

test("all that follows --run belongs to the command, whatever it looks like", (t) => {
  t.deepEqual(split("playground --pods 3 --run ls --json --run x"), [
    "playground --pods 3",
    "ls --json --run x",
  ]);
});

test("--run=WORD and -- begin the command as well", (t) => {
  t.deepEqual(split("playground --run=ls -l"), ["playground", "ls -l"]);
  t.deepEqual(split("playground --fake -- sh -c true"), ["playground --fake", "sh -c true"]);
  t.deepEqual(split("playground --run -- ls"), ["playground", "ls"]);
});

test("without any of them there is no command, and with nothing after it an empty one", (t) => {
  t.deepEqual(split("playground --pods 3"), ["playground --pods 3", undefined]);
  t.deepEqual(split("playground --run"), ["playground", ""]);
});
