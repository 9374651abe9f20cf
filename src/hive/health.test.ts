import test from "ava";
import { HealthTreeKeeper } from "./health-registry.ts";
import { Health, type HealthChange, HealthTree, Hive, invoke, module, silentLogger } from "./index.ts";

test("a node that has reported nothing is unknown", (t) => {
  const tree = new HealthTreeKeeper();
  tree.moduleScope("a");
  t.is(tree.snapshot().level, "unknown");
  t.is(tree.snapshot().children[0]?.own, "unknown");
});

test("modules are nested by their full ids", (t) => {
  const tree = new HealthTreeKeeper();
  tree.moduleScope("a.b").ok("fine");
  const a = tree.snapshot().children[0];
  t.is(a?.path, "a");
  t.is(a?.children[0]?.path, "a.b");
  t.is(a?.children[0]?.message, "fine");
  t.is(tree.moduleScope("a.b"), tree.moduleScope("a").scope("b"));
});

test("a node's level is the worst of its own and those below", (t) => {
  const tree = new HealthTreeKeeper();
  const a = tree.moduleScope("a");
  a.scope("one").stopped("done");
  t.is(tree.snapshot().level, "stopped");
  a.scope("two").ok();
  t.is(tree.snapshot().level, "ok");
  a.scope("three").degraded("broken", new Error("why"));
  t.is(tree.snapshot().level, "degraded");
  t.is(tree.snapshot().children[0]?.own, "unknown", "its own is untouched");
  a.scope("three").close();
  t.is(tree.snapshot().level, "ok");
});

test("a degraded node keeps the text of its error until it is ok", (t) => {
  const tree = new HealthTreeKeeper();
  const scope = tree.moduleScope("a");
  scope.degraded("broken", new Error("why"));
  t.like(tree.snapshot().children[0], { message: "broken", error: "why" });
  scope.ok();
  t.false("error" in tree.snapshot().children[0]!);
});

test("since moves with the level, updated with every report", async (t) => {
  const tree = new HealthTreeKeeper();
  const scope = tree.moduleScope("a");
  const node = () => tree.snapshot().children[0]!;
  scope.ok("1");
  const first = node();
  while (Date.now() <= first.updated.getTime()) await new Promise(setImmediate);
  scope.ok("2");
  t.is(node().since, first.since);
  t.true(node().updated > first.updated);
  scope.degraded("3");
  t.true(node().since > first.since);
});

test("changes tells of every change once, and of removals", (t) => {
  const tree = new HealthTreeKeeper();
  const seen: HealthChange[] = [];
  tree.changes().subscribe((change) => seen.push(change));
  const scope = tree.moduleScope("a").scope("b");
  scope.ok("fine");
  scope.ok("fine");
  scope.degraded("broken", "why");
  tree.moduleScope("a").close();
  scope.ok("too late");
  tree.moduleScope("a").scope("b");
  t.deepEqual(
    seen.map(({ path, level, removed }) => [path, level, removed]),
    [
      ["a.b", "ok", false],
      ["a.b", "degraded", false],
      ["a.b", "degraded", true],
      ["a", "unknown", true],
    ],
  );
});

test("a child of a closed node stays out of the tree", (t) => {
  const tree = new HealthTreeKeeper();
  const a = tree.moduleScope("a");
  a.close();
  a.scope("b").degraded("ignored");
  t.deepEqual(tree.snapshot().children, []);
});

test("a hive's modules report into its tree, and the changes complete when it has stopped", async (t) => {
  const hive = new Hive({
    name: "test",
    logger: silentLogger,
    cells: [
      module(
        "m",
        "M",
        invoke({ health: Health }, ({ health }) => health.ok("ready")),
      ),
    ],
  });
  const completed = new Promise<void>((complete) => {
    hive.get(HealthTree).changes().subscribe({ complete });
  });
  await hive.start();
  t.like(hive.get(HealthTree).snapshot().children[0], { name: "m", level: "ok", message: "ready" });
  await hive.stop();
  await completed;
});
