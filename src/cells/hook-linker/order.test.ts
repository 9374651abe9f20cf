import test from "ava";
import { type Candidate, CycleError, orderCandidates } from "./order.ts";

const plugin = (name: string, options: Partial<Candidate> = {}): Candidate => ({
  name,
  priority: 100,
  before: [],
  after: [],
  ...options,
});

test("plugins without constraints run by priority, then by name", (t) => {
  const { names } = orderCandidates([plugin("b"), plugin("z", { priority: 1 }), plugin("a")]);
  t.deepEqual(names, ["z", "a", "b"]);
});

test("constraints beat priorities", (t) => {
  const { names } = orderCandidates([
    plugin("a", { priority: 1, after: ["b"] }),
    plugin("b", { priority: 900 }),
  ]);
  t.deepEqual(names, ["b", "a"]);
});

test("the order does not depend on the order of the input", (t) => {
  const plugins = [
    plugin("audit", { before: ["firewall"] }),
    plugin("firewall"),
    plugin("counter", { after: ["firewall"], priority: 1 }),
    plugin("mirror", { priority: 50 }),
    plugin("early", { priority: 0 }),
  ];
  const expected = ["early", "mirror", "audit", "firewall", "counter"];
  for (let shift = 0; shift < plugins.length; shift++) {
    const rotated = [...plugins.slice(shift), ...plugins.slice(0, shift)];
    t.deepEqual(orderCandidates(rotated).names, expected);
    t.deepEqual(orderCandidates(rotated.reverse()).names, expected);
  }
});

test("a constraint that names an absent plugin is reported and orders nothing", (t) => {
  const order = orderCandidates([plugin("a", { before: ["ghost"], after: ["gone"] }), plugin("b")]);
  t.deepEqual(order.names, ["a", "b"]);
  t.deepEqual(order.unresolved, ["a AFTER gone", "a BEFORE ghost"]);
});

test("a cycle is refused with the plugins it goes through", (t) => {
  const error = t.throws(
    () =>
      orderCandidates([
        plugin("head", { before: ["a"] }),
        plugin("a", { before: ["b"] }),
        plugin("b", { before: ["c"] }),
        plugin("c", { before: ["a"] }),
        plugin("tail", { after: ["c"] }),
      ]),
    { instanceOf: CycleError },
  );
  const { path } = error;
  t.is(path[0], path.at(-1));
  t.deepEqual([...path.slice(1)].sort(), ["a", "b", "c"]);
  const follows: Record<string, string> = { a: "b", b: "c", c: "a" };
  for (let step = 0; step + 1 < path.length; step++) t.is(follows[path[step]!], path[step + 1]);
});

test("a plugin that must run before itself is a cycle of one", (t) => {
  const error = t.throws(() => orderCandidates([plugin("a", { before: ["a"] })]), { instanceOf: CycleError });
  t.deepEqual(error.path, ["a", "a"]);
});
