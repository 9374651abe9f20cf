import test from "ava";
import { NamespaceLock } from "./lock.ts";

test("a namespace has one agent, and after it another", async (t) => {
  const first = new NamespaceLock();
  const second = new NamespaceLock();
  await first.take();
  await t.throwsAsync(second.take(), { message: /another agent runs in this network namespace/ });
  first.release();
  await second.take();
  second.release();
  t.pass();
});
