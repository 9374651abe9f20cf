import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { Hive, invoke, silentLogger } from "../../hive/index.ts";
import { Database } from "../../table/index.ts";
import type { StateCollection } from "../state/index.ts";
import { stateCell } from "../state/index.ts";
import { StoredIdentities } from "./allocator.ts";
import { canonicalLabels, Identities, identityCell, labelViolations, reservedIdentity } from "./index.ts";
import { identityTable } from "./select.ts";
import type { IdentityAllocator } from "./types.ts";

async function stateDir(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "waggle-identity-"));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function started(
  t: ExecutionContext,
  stateDirectory: string,
  grace = "10m",
): Promise<{ identities: IdentityAllocator; stop: () => Promise<void> }> {
  const hive = new Hive({
    name: "identity-test",
    logger: silentLogger,
    cells: [stateCell, identityCell, invoke({ identities: Identities }, () => undefined)],
    settings: { flags: { "state-dir": stateDirectory, "identity-restore-grace-period": grace } },
  });
  await hive.start();
  t.teardown(() => hive.stop());
  return { identities: hive.get(Identities), stop: () => hive.stop() };
}

/** A collection in memory whose writes fail while `broken`. */
class Memory<T> implements StateCollection<T> {
  readonly rows = new Map<string, T>();
  broken = false;
  all(): { key: string; value: T }[] {
    return [...this.rows].map(([key, value]) => ({ key, value }));
  }
  get(key: string): T | undefined {
    return this.rows.get(key);
  }
  async put(key: string, value: T): Promise<void> {
    if (this.broken) throw new Error("disk full");
    this.rows.set(key, value);
  }
  async delete(key: string): Promise<void> {
    this.rows.delete(key);
  }
}

function inMemory(): { identities: StoredIdentities; rows: Memory<{ labels: Record<string, string> }> } {
  const rows = new Memory<{ labels: Record<string, string> }>();
  const table = new Database().createTable(identityTable);
  return { identities: new StoredIdentities(table, { identities: rows, cursor: new Memory() }), rows };
}

test("the wiring is complete", (t) => {
  const hive = new Hive({
    name: "wiring",
    logger: silentLogger,
    cells: [stateCell, identityCell, invoke({ identities: Identities }, () => undefined)],
  });
  t.notThrows(() => hive.populate());
});

test("equal labels in any order get one number from 256 upward, others get the next", async (t) => {
  const { identities } = await started(t, await stateDir(t));
  const web = await identities.acquire({ app: "web", env: "prod" });
  t.is(web.id, 256);
  t.is((await identities.acquire({ env: "prod", app: "web" })).id, 256);
  t.is(identities.table.get(256)?.references, 2);
  t.is((await identities.acquire({ app: "web" })).id, 257);
});

test("acquiring the same new labels twice at once gives one number with two references", async (t) => {
  const { identities } = await started(t, await stateDir(t));
  const [a, b] = await Promise.all([identities.acquire({ a: "1" }), identities.acquire({ a: "1" })]);
  t.is(a.id, b.id);
  t.is(identities.table.get(a.id)?.references, 2);
});

test("a number is free after its last reference and is not given to the next labels", async (t) => {
  const { identities } = await started(t, await stateDir(t));
  const { id } = await identities.acquire({ app: "web" });
  await identities.acquire({ app: "web" });
  await identities.release(id);
  t.is(identities.byLabels({ app: "web" })?.id, id);
  await identities.release(id);
  t.is(identities.byLabels({ app: "web" }), undefined);
  t.not((await identities.acquire({ app: "db" })).id, id);
  await t.throwsAsync(identities.release(id), { message: /identity 256 does not exist/ });
});

test("numbers survive a restart, and what nobody acquires again is dropped after the grace period", async (t) => {
  const path = await stateDir(t);
  const first = await started(t, path);
  const kept = await first.identities.acquire({ app: "kept" });
  const gone = await first.identities.acquire({ app: "gone" });
  const released = await first.identities.acquire({ app: "released" });
  await first.identities.release(released.id);
  await first.stop();

  const second = await started(t, path);
  t.is(second.identities.byLabels({ app: "gone" })?.references, 0);
  t.is((await second.identities.acquire({ app: "kept" })).id, kept.id);
  t.true((await second.identities.acquire({ app: "new" })).id > released.id);
  await second.stop();

  const third = await started(t, path, "0");
  const acquired = third.identities.acquire({ app: "kept" });
  await third.identities.table.whenInitialized();
  while (third.identities.table.has(gone.id)) await new Promise((resolve) => setImmediate(resolve));
  t.is((await acquired).id, kept.id);
});

test("numbers are reused only when all have been used", async (t) => {
  const { identities } = inMemory();
  const first = await identities.acquire({ n: "first" });
  await identities.release(first.id);
  const seen = new Set<number>();
  for (let i = 0; i < 65_535 - 256; i += 1) {
    const { id } = await identities.acquire({ n: `${i}` });
    seen.add(id);
    await identities.release(id);
  }
  t.false(seen.has(first.id));
  t.is((await identities.acquire({ n: "last" })).id, first.id);
});

test("an identity that cannot be stored does not exist, for none of those who wanted it", async (t) => {
  const { identities, rows } = inMemory();
  rows.broken = true;
  const results = await Promise.allSettled([identities.acquire({ a: "1" }), identities.acquire({ a: "1" })]);
  t.deepEqual(
    results.map(({ status }) => status),
    ["rejected", "rejected"],
  );
  t.is(identities.byLabels({ a: "1" }), undefined);
  rows.broken = false;
  t.is((await identities.acquire({ a: "1" })).references, 1);
});

test("reserved identities are in the table under Cilium's numbers and are neither counted nor freed", async (t) => {
  const { identities } = inMemory();
  t.is((await identities.acquire({ "reserved:world": "" })).id, 2);
  t.is(reservedIdentity("remote-node"), 6);
  await identities.release(2);
  t.is(identities.table.get(2)?.reserved, "world");
  await t.throwsAsync(identities.acquire({ "reserved:nobody": "" }), { message: /there are unknown, host/ });
  await t.throwsAsync(identities.acquire({ "reserved:host": "", app: "x" }), { message: /stands alone/ });
});

test("selectors find the identities that carry all labels, and no labels select every pod", async (t) => {
  const { identities } = inMemory();
  const a = await identities.acquire({ app: "web", env: "prod" });
  const b = await identities.acquire({ app: "web", env: "dev" });
  const ids = (selector: Record<string, string>): number[] =>
    identities
      .select(selector)
      .map(({ id }) => id)
      .sort();
  t.deepEqual(ids({ app: "web" }), [a.id, b.id]);
  t.deepEqual(ids({ app: "web", env: "dev" }), [b.id]);
  t.deepEqual(ids({ app: "db" }), []);
  t.deepEqual(ids({}), [a.id, b.id]);
  t.deepEqual(ids({ "reserved:host": "" }), [1]);
});

test("labels follow the syntax of Kubernetes", (t) => {
  const good = { app: "web", "app.kubernetes.io/name": "My_App.1", empty: "", a: "x".repeat(63), A1: "z" };
  t.deepEqual(labelViolations(good, "labels"), []);
  const bad: Record<string, string> = {
    "": "x",
    "-app": "x",
    "app-": "x",
    "a=b": "x",
    "a,b": "x",
    "Upper.io/x": "x",
    "/x": "x",
    "a/b/c": "x",
    [`${"p".repeat(254)}/x`]: "x",
    ["n".repeat(64)]: "x",
    v1: "v".repeat(64),
    v2: "with space",
    v3: "-x",
  };
  t.is(labelViolations(bad, "spec.labels").length, Object.keys(bad).length);
  t.is(labelViolations({ "-app": "x" }, "spec.labels")[0]?.field, 'spec.labels["-app"]');
  t.is(canonicalLabels({ b: "2", a: "1" }), "a=1,b=2");
});
