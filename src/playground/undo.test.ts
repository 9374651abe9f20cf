import test from "ava";
import { TeardownError, Undo } from "./undo.ts";

test("steps are taken back last first, once", async (t) => {
  const undo = new Undo();
  const seen: string[] = [];
  for (const name of ["first", "second", "third"]) undo.add(name, () => void seen.push(name));
  await Promise.all([undo.run(), undo.run()]);
  t.deepEqual(seen, ["third", "second", "first"]);
});

test("a step that fails does not keep the others from running, and all failures are told", async (t) => {
  const undo = new Undo();
  const seen: string[] = [];
  undo.add("directory", () => void seen.push("directory"));
  undo.add("mount", () => {
    throw new Error("busy");
  });
  undo.add("child", () => Promise.reject(new Error("gone")));
  const error = await t.throwsAsync(undo.run(), { instanceOf: TeardownError });
  t.is(error.message, "could not undo everything: child: gone; mount: busy");
  t.deepEqual(seen, ["directory"]);
});
