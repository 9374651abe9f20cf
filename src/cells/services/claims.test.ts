import test from "ava";
import { Claims } from "./claims.ts";

test("the first in order has what several claim, whoever comes first", (t) => {
  const claims = new Claims();
  t.deepEqual([...claims.set({ name: "late", order: 7 }, ["10.96.0.1:80/tcp"])], []);
  t.is(claims.holder("10.96.0.1:80/tcp"), "late");
  t.deepEqual([...claims.set({ name: "early", order: 3 }, ["10.96.0.1:80/tcp"])], ["late"]);
  t.is(claims.holder("10.96.0.1:80/tcp"), "early");
  t.is(claims.highestOrder, 7);
});

test("of the same order, the lower name has it", (t) => {
  const claims = new Claims();
  claims.set({ name: "b", order: 1 }, ["x"]);
  claims.set({ name: "a", order: 1 }, ["x"]);
  t.is(claims.holder("x"), "a");
});

test("what its holder lets go of passes to the next", (t) => {
  const claims = new Claims();
  claims.set({ name: "a", order: 1 }, ["x", "y"]);
  claims.set({ name: "b", order: 2 }, ["x"]);
  claims.set({ name: "c", order: 3 }, ["x", "z"]);
  t.deepEqual([...claims.set({ name: "a", order: 1 }, ["y"])], ["b"]);
  t.is(claims.holder("x"), "b");
  t.deepEqual(claims.of("a"), ["y"]);
  t.deepEqual([...claims.set({ name: "b", order: 0 }, [])], ["c"]);
  t.is(claims.orderOf("b"), undefined);
  t.deepEqual(claims.of("b"), []);
});

test("a later order gives way, and takes others with it", (t) => {
  const claims = new Claims();
  claims.set({ name: "a", order: 1 }, ["x"]);
  claims.set({ name: "b", order: 2 }, ["x"]);
  t.deepEqual([...claims.set({ name: "a", order: 9 }, ["x"])], ["b"]);
  t.is(claims.holder("x"), "b");
});
