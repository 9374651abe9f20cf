import test from "ava";
import { nodeConfig } from "../../../test/cells/support.ts";
import { PodTurns } from "./pod-upkeep.ts";

test("all pods are looked at first, then a few at a time, each in its turn", (t) => {
  const turns = new PodTurns(nodeConfig);
  const ids = Array.from({ length: 30 }, (_, index) => 30 - index);
  t.is(turns.next(ids).length, 30);
  const seen = Array.from({ length: 10 }, () => turns.next(ids));
  t.true(seen.every(({ length }) => length === 3));
  t.is(new Set(seen.flat()).size, 30);
  t.deepEqual(turns.next([7]), [7]);
  t.deepEqual(turns.next([]), []);
});

test("another MTU, router or network of the node makes all pods due at once; nothing else does", (t) => {
  const turns = new PodTurns(nodeConfig);
  turns.next([1, 2, 3]);
  t.false(turns.follow({ ...nodeConfig, devices: [] }));
  t.is(turns.next([1, 2, 3]).length, 1);
  t.true(turns.follow({ ...nodeConfig, routeMtu: 1_300 }));
  t.is(turns.next([1, 2, 3]).length, 3);
  t.is(turns.next([1, 2, 3]).length, 1);
});
