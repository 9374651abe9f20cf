import test from "ava";
import {
  bundle,
  type Cell,
  CellDefinitionError,
  config,
  contribute,
  DependencyCycleError,
  decorate,
  flag,
  group,
  Hive,
  HiveValidationError,
  invoke,
  Log,
  MissingDependencyError,
  module,
  optional,
  PrivateTokenError,
  provide,
  providePrivate,
  silentLogger,
  supply,
  token,
} from "./index.ts";

const A = token<number>("a");
const B = token<number>("b");
const C = token<number>("c");

function problems(...cells: Cell[]): Error[] {
  try {
    new Hive({ name: "test", logger: silentLogger, cells }).validate();
    return [];
  } catch (error) {
    if (error instanceof HiveValidationError) return error.errors;
    throw error;
  }
}
const messages = (...cells: Cell[]) => problems(...cells).map((problem) => problem.message);

test("a missing dependency is shown with the chain that needs it", (t) => {
  const cells = [
    module(
      "top",
      "Top",
      invoke({ a: A }, () => {}),
    ),
    module(
      "mid",
      "Mid",
      module(
        "low",
        "Low",
        provide(A, { b: B }, ({ b }) => b),
      ),
    ),
  ];
  t.deepEqual(messages(...cells), ['nothing provides "b": invoke #1 (module top) → a (module mid.low) → b']);
  t.true(problems(...cells)[0] instanceof MissingDependencyError);
});

test("a missing dependency of a provider that nothing invokes is found too", (t) => {
  t.deepEqual(
    messages(
      module(
        "m",
        "M",
        provide(A, { b: B }, ({ b }) => b),
      ),
    ),
    ['nothing provides "b": a (module m) → b'],
  );
});

test("two tokens of one name are two tokens, and the error says so", (t) => {
  const twin = token<number>("b");
  t.deepEqual(
    messages(
      module("m", "M", supply(twin, 1)),
      invoke({ b: B }, () => {}),
    ),
    [
      'nothing provides "b": invoke #1 (the root) → b (another token of that name is provided in module m: make a token once and share it)',
    ],
  );
});

test("a cycle is shown as a circle with the modules in it", (t) => {
  const cells = [
    module(
      "x",
      "X",
      provide(A, { b: B }, ({ b }) => b),
    ),
    module(
      "y",
      "Y",
      provide(B, { c: C }, ({ c }) => c),
      provide(C, { a: A }, ({ a }) => a),
    ),
    invoke({ a: A }, () => {}),
  ];
  t.deepEqual(messages(...cells), [
    "dependencies form a cycle: a (module x) → b (module y) → c (module y) → a (module x)",
  ]);
  t.true(problems(...cells)[0] instanceof DependencyCycleError);
});

test("a cycle through a group or a decorator is found", (t) => {
  const G = group<number>("g");
  t.deepEqual(
    messages(
      contribute(G, { a: A }, ({ a }) => a),
      provide(A, { g: G }, ({ g }) => g.length),
    ),
    ["dependencies form a cycle: member of g (the root) → a (the root) → group g → member of g (the root)"],
  );
  t.deepEqual(
    messages(
      supply(A, 1),
      decorate(A, { a: A }, (inner, { a }) => inner + a),
    ),
    ["dependencies form a cycle: decorator of a (the root) → decorator of a (the root)"],
  );
});

test("two public providers of a token are an error that names both modules", (t) => {
  t.deepEqual(
    messages(
      module("x", "X", supply(A, 1)),
      module(
        "y",
        "Y",
        provide(A, {}, () => 2),
      ),
    ),
    ['"a" is provided both in module x and in module y'],
  );
  t.deepEqual(messages(supply(A, 1), supply(A, 2)), ['"a" is provided twice in the root']);
});

test("a private provider must not hide one that is visible to it", (t) => {
  const inner = module(
    "inner",
    "Inner",
    providePrivate(A, {}, () => 1),
  );
  t.deepEqual(messages(supply(A, 2), inner), ['"a" is provided both in the root and in module inner']);
  t.deepEqual(
    messages(
      module(
        "outer",
        "Outer",
        providePrivate(A, {}, () => 2),
        inner,
      ),
    ),
    ['"a" is provided both in module outer and in module outer.inner'],
  );
});

test("sibling modules may each have a private provider of the same token", (t) => {
  const sibling = (id: string, value: number) =>
    module(
      id,
      "Sibling",
      providePrivate(A, {}, () => value),
      invoke({ a: A }, ({ a }) => t.is(a, value)),
    );
  const hive = new Hive({ name: "test", logger: silentLogger, cells: [sibling("x", 1), sibling("y", 2)] });
  t.plan(2);
  hive.populate();
});

test("the hive's own tokens cannot be provided again", (t) => {
  t.deepEqual(messages(module("m", "M", supply(Log, silentLogger))), [
    '"log" is provided both in the hive itself and in module m',
  ]);
});

test("a private token used from outside names its owner and the chain", (t) => {
  const cells = [
    module(
      "owner",
      "Owner",
      providePrivate(A, {}, () => 1),
    ),
    module(
      "user",
      "User",
      invoke({ a: A }, () => {}),
    ),
  ];
  t.deepEqual(messages(...cells), [
    '"a" is private to module owner but is needed outside of it: invoke #1 (module user) → a',
  ]);
  t.true(problems(...cells)[0] instanceof PrivateTokenError);
});

test("a private token is visible in nested modules and through bundles", (t) => {
  t.deepEqual(
    messages(
      module(
        "owner",
        "Owner",
        bundle(providePrivate(A, {}, () => 1)),
        module(
          "nested",
          "Nested",
          invoke({ a: A }, () => {}),
        ),
      ),
    ),
    [],
  );
});

test("an optional dependency may be missing, or private to somebody else", (t) => {
  t.plan(2);
  const hive = new Hive({
    name: "test",
    logger: silentLogger,
    cells: [
      module(
        "owner",
        "Owner",
        providePrivate(A, {}, () => 1),
      ),
      invoke({ a: optional(A), b: optional(B) }, ({ a, b }) => {
        t.is(a, undefined);
        t.is(b, undefined);
      }),
    ],
  });
  hive.populate();
});

test("a decorator of what nobody provides is an error", (t) => {
  t.deepEqual(
    messages(
      module(
        "m",
        "M",
        decorate(A, {}, (inner) => inner),
      ),
    ),
    ['nothing provides "a": decorator of a (module m) → a'],
  );
});

test("two modules with the same full id are an error", (t) => {
  t.deepEqual(messages(module("m", "M"), module("m", "M again"), module("n", "N", module("m", "Other"))), [
    "module m is declared twice",
  ]);
});

test("all problems are reported at once, and nothing is constructed", (t) => {
  let constructed = 0;
  const cells = [
    supply(A, 1),
    supply(A, 2),
    provide(B, { c: C }, ({ c }) => c),
    module(
      "x",
      "X",
      invoke({}, () => constructed++),
    ),
  ];
  const hive = new Hive({
    name: "test",
    logger: silentLogger,
    cells,
    settings: { flags: { nonsense: true } },
  });
  const error = t.throws(() => hive.populate(), { instanceOf: HiveValidationError });
  t.is(error?.errors.length, 3);
  t.true(error?.message.startsWith('hive "test" is not valid: 3 problems\n  - '));
  t.is(constructed, 0);
});

test("a module needs a kebab-case id and a title, a flag a kebab-case name", (t) => {
  t.throws(() => module("Not Kebab", "Title"), { instanceOf: CellDefinitionError });
  t.throws(() => module("id", " "), { instanceOf: CellDefinitionError });
  const flags = { logLevel: flag.string({ default: "", help: "" }) };
  t.throws(() => config(token<{ logLevel: string }>("c"), flags), { instanceOf: CellDefinitionError });
});
