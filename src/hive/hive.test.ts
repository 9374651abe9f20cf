import test from "ava";
import {
  bundle,
  type Cell,
  ConstructionError,
  contribute,
  decorate,
  decorateAll,
  group,
  Health,
  Hive,
  HiveError,
  HiveInfo,
  HiveStateError,
  invoke,
  Jobs,
  Lifecycle,
  Log,
  type LogLine,
  MissingDependencyError,
  makeLogger,
  module,
  PrivateTokenError,
  provide,
  providePrivate,
  silentLogger,
  supply,
  token,
} from "./index.ts";

const A = token<string>("a");
const B = token<string>("b");
const Words = group<string>("words");

const hive = (...cells: Cell[]) => new Hive({ name: "test", logger: silentLogger, cells });

test("only what an invoke needs is constructed, once, and what it needs first", (t) => {
  const order: string[] = [];
  const make = (name: string) => () => {
    order.push(name);
    return name;
  };
  const Unused = token<string>("unused");
  hive(
    invoke({ b: B }, () => order.push("invoke 1")),
    provide(B, { a: A }, make("b")),
    provide(Unused, { a: A }, make("unused")),
    provide(A, {}, make("a")),
    invoke({ a: A, b: B }, () => order.push("invoke 2")),
  ).populate();
  t.deepEqual(order, ["a", "b", "invoke 1", "invoke 2"]);
});

test("populating twice constructs once", (t) => {
  let count = 0;
  const subject = hive(invoke({}, () => count++));
  subject.populate();
  subject.populate();
  t.is(count, 1);
});

test("a provider may give undefined, null or a promise like any other value", async (t) => {
  const Nothing = token<undefined>("nothing");
  const Null = token<null>("null");
  const Later = token<Promise<number>>("later");
  const subject = hive(
    supply(Nothing, undefined),
    provide(Null, {}, () => null),
    provide(Later, {}, () => Promise.resolve(7)),
  );
  t.is(subject.get(Nothing), undefined);
  t.is(subject.get(Null), null);
  t.is(await subject.get(Later), 7);
});

test("a constructor that throws is named with its module and keeps its cause", (t) => {
  const cause = new Error("out of bees");
  const subject = hive(
    module(
      "m",
      "M",
      provide(A, {}, () => {
        throw cause;
      }),
    ),
    invoke({ a: A }, () => {}),
  );
  const error = t.throws(() => subject.populate(), { instanceOf: ConstructionError });
  t.is(error?.message, "cannot construct a (module m) (needed by invoke #1 (the root)): out of bees");
  t.is(error?.cause, cause);
  t.is(
    t.throws(() => subject.populate()),
    error,
    "it stays failed",
  );
});

test("an invoke that returns a promise is refused", (t) => {
  const subject = hive(invoke({}, async () => {}));
  t.throws(() => subject.populate(), { message: /it returned a promise/ });
});

test("a group has its members in declaration order, across modules", (t) => {
  const subject = hive(
    module(
      "x",
      "X",
      contribute(Words, { a: A }, ({ a }) => a),
    ),
    bundle(contribute(Words, {}, () => "two")),
    supply(A, "one"),
  );
  t.deepEqual(subject.get(Words), ["one", "two"]);
  t.true(Object.isFrozen(subject.get(Words)));
});

test("a group nobody contributes to is empty", (t) => {
  t.deepEqual(hive().get(Words), []);
});

test("a decorator applies to its module and below, not outside", (t) => {
  const seen: Record<string, string> = {};
  const look = (name: string) =>
    invoke({ a: A }, ({ a }) => {
      seen[name] = a;
    });
  hive(
    supply(A, "a"),
    supply(B, "b"),
    look("root"),
    module(
      "outer",
      "Outer",
      decorate(A, { b: B }, (inner, { b }) => `${inner}+${b}`),
      look("outer"),
      module(
        "inner",
        "Inner",
        decorate(A, {}, (inner) => `${inner}!`),
        look("inner"),
      ),
    ),
  ).populate();
  t.deepEqual(seen, { root: "a", outer: "a+b", inner: "a+b!" });
});

test("decorateAll applies everywhere, before module decorators", (t) => {
  const seen: string[] = [];
  hive(
    supply(A, "a"),
    module(
      "first",
      "First",
      decorate(A, {}, (inner) => `${inner}2`),
      invoke({ a: A }, ({ a }) => seen.push(a)),
    ),
    module(
      "second",
      "Second",
      decorateAll(A, {}, (inner) => `${inner}1`),
    ),
    invoke({ a: A }, ({ a }) => seen.push(a)),
  ).populate();
  t.deepEqual(seen, ["a12", "a1"]);
});

test("a provider in a decorated module is constructed with the decorated value", (t) => {
  const subject = hive(
    supply(A, "a"),
    module(
      "m",
      "M",
      decorate(A, {}, (inner) => inner.toUpperCase()),
      provide(B, { a: A }, ({ a }) => a),
    ),
  );
  t.is(subject.get(B), "A");
  t.is(subject.get(A), "a");
});

test("a group can be decorated", (t) => {
  const subject = hive(
    contribute(Words, {}, () => "b"),
    contribute(Words, {}, () => "a"),
    decorateAll(Words, {}, (words) => words.toSorted()),
  );
  t.deepEqual(subject.get(Words), ["a", "b"]);
});

test("a decorator of a per-module token gives every module below its own", (t) => {
  const lines: LogLine[] = [];
  const say = invoke({ log: Log }, ({ log }) => log.info("hello"));
  const subject = new Hive({
    name: "test",
    logger: makeLogger((line) => lines.push(line)),
    cells: [
      say,
      module(
        "x",
        "X",
        decorate(Log, {}, (log) => log.child({ extra: true })),
        say,
        module("y", "Y", say),
      ),
    ],
  });
  subject.populate();
  t.deepEqual(
    lines.map((line) => line.fields),
    [{ module: "test" }, { module: "x", extra: true }, { module: "x.y", extra: true }],
  );
});

test("every module has its own logger, lifecycle, jobs and health", (t) => {
  const subject = hive(module("x", "X"), module("y", "Y"));
  for (const own of [Log, Lifecycle, Jobs, Health]) {
    t.is<unknown, unknown>(subject.get(own as typeof Log, "x"), subject.get(own as typeof Log, "x"));
    t.not<unknown, unknown>(subject.get(own as typeof Log, "x"), subject.get(own as typeof Log, "y"));
  }
});

test("get sees what the module it looks from sees", (t) => {
  const subject = hive(
    module(
      "m",
      "M",
      providePrivate(A, {}, () => "secret"),
    ),
  );
  t.is(subject.get(A, "m"), "secret");
  t.throws(() => subject.get(A), { instanceOf: PrivateTokenError });
  t.throws(() => subject.get(B), { instanceOf: MissingDependencyError });
  t.throws(() => subject.get(A, "n"), { instanceOf: HiveError, message: /there is no module n/ });
});

test("one cell can be used in many hives, each with its own instances", (t) => {
  const O = token<object>("object");
  const cell = provide(O, {}, () => ({}));
  t.not(hive(cell).get(O), hive(cell).get(O));
});

test("a hive starts only once", async (t) => {
  const subject = hive();
  await subject.start();
  await t.throwsAsync(subject.start(), {
    instanceOf: HiveStateError,
    message: "cannot start: the hive is started",
  });
  await subject.stop();
  await t.throwsAsync(subject.start(), { instanceOf: HiveStateError });
});

test("a thousand providers in a chain are constructed", (t) => {
  const tokens = Array.from({ length: 1_000 }, (_, at) => token<number>(`n${at}`));
  const subject = hive(
    supply(tokens[0]!, 0),
    ...tokens.slice(1).map((each, at) => provide(each, { before: tokens[at]! }, ({ before }) => before + 1)),
  );
  t.is(subject.get(tokens[999]!), 999);
});

test("the inspector shows modules, tokens, what was constructed, and draws the graph", (t) => {
  const subject = hive(
    module(
      "m",
      "Module M",
      providePrivate(A, {}, () => "a"),
      provide(B, { a: A }, ({ a }) => a),
    ),
    invoke({ info: HiveInfo }, () => {}),
  );
  const before = subject.get(HiveInfo).describe();
  t.deepEqual(before.invokes, [["hive-info"]]);
  t.deepEqual(before.modules[0]?.provides, [
    { name: "a", kind: "provide", private: true, needs: [], constructed: false },
    { name: "b", kind: "provide", private: false, needs: ["a"], constructed: false },
  ]);
  subject.get(B);
  t.true(subject.describe().modules[0]?.provides.every((each) => each.constructed));
  const dot = subject.dot();
  t.regex(dot, /^digraph "test" \{/);
  t.regex(dot, /subgraph "cluster_m" \{\n {4}label="m"; tooltip="Module M";/);
  t.regex(dot, /n0 \[label="a", style=dashed\];/);
  t.regex(dot, /n1 -> n0 \[tooltip="a"\];/);
});
