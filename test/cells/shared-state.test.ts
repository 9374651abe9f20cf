import test, { type ExecutionContext } from "ava";
import { EtcdClient } from "../../src/cells/kvstore/etcd/client.ts";
import { EtcdServer } from "../support/etcd.ts";
import { eventually } from "../support/eventually.ts";
import { type Sharer, sharer, shortLeases, temporary } from "./shared-nodes.ts";

async function etcd(t: ExecutionContext): Promise<EtcdServer> {
  const server = await EtcdServer.start();
  t.teardown(() => server.remove());
  return server;
}

const noEtcd = (node: Sharer): Promise<boolean> =>
  eventually("the outage is told", () => node.complaints().includes("no etcd since"), 60_000);
const well = (node: Sharer): Promise<boolean> =>
  eventually(`nothing is wrong, but: ${node.complaints()}`, () => node.complaints() === "", 60_000);

test("a change on one node shows on the other, and a deletion too", async (t) => {
  const server = await etcd(t);
  const a = await sharer(t, "a", [server.endpoint]);
  const b = await sharer(t, "b", [server.endpoint]);
  await a.things.put("x", { text: "1" });
  await a.claims.put("mine", { text: "of a" });
  t.deepEqual(a.rows("things"), { x: "1" }, "the writer sees it at once");
  await eventually("b sees both", () => b.rows("things").x === "1" && b.rows("claims").mine === "of a");
  t.is(b.things.table.get("x")?.node, "a");
  await eventually("nothing is pending", () => a.pending("things").length + a.pending("claims").length === 0);
  await b.things.put("x", { text: "2" });
  await eventually("a sees b's change", () => a.rows("things").x === "2");
  await b.things.delete("x");
  await a.claims.delete("mine");
  await eventually("both are gone", () => {
    return a.things.table.size + b.things.table.size + b.claims.table.size === 0;
  });
  await Promise.all([well(a), well(b)]);
});

test("without etcd a node starts with what it knew last, and its changes reach the others later", async (t) => {
  const server = await etcd(t);
  const b = await sharer(t, "b", [server.endpoint]);
  const stateDir = await temporary(t, "state-a");
  const first = await sharer(t, "a", [server.endpoint], { stateDir });
  await b.things.put("of-b", { text: "old" });
  await b.things.put("doomed", { text: "old" });
  await first.things.put("of-a", { text: "old" });
  await first.claims.put("mine", { text: "of a" });
  await eventually(
    "a knows all",
    () => first.things.table.size === 3 && first.pending("things").length === 0,
  );
  await first.stop();
  await server.kill();

  const began = Date.now();
  const a = await sharer(t, "a", [server.endpoint], { stateDir });
  t.true(Date.now() - began < 5_000, "it does not wait for what refuses it");
  t.deepEqual(a.rows("things"), { doomed: "old", "of-a": "old", "of-b": "old" });
  t.deepEqual(a.rows("claims"), { mine: "of a" });
  t.regex(a.complaints(), /no etcd since .*ECONNREFUSED/);
  await a.things.put("of-a", { text: "new" });
  await a.things.delete("doomed");
  await a.things.put("offline", { text: "1" });
  t.deepEqual(a.pending("things").toSorted(), ["of-a", "offline"]);
  await noEtcd(b);

  await server.start();
  const converged = { "of-a": "new", "of-b": "old", offline: "1" };
  await eventually(
    "both agree",
    () => {
      return [a, b].every((node) => JSON.stringify(node.rows("things")) === JSON.stringify(converged));
    },
    60_000,
  );
  await eventually("nothing is pending", () => a.pending("things").length === 0);
  await eventually("b sees a's claim", () => b.rows("claims").mine === "of a");
  await Promise.all([well(a), well(b)]);
});

/** Clocks tell milliseconds: of two nodes' changes in the same one, neither is the later. */
async function clockAdvances(): Promise<void> {
  const now = Date.now();
  // What is stored in one millisecond is numbered on, so one more is left free.
  await eventually("the clock goes on", () => Date.now() > now + 1);
}

test("of changes made on both sides of an outage the later one holds, deletions included", async (t) => {
  const server = await etcd(t);
  const a = await sharer(t, "a", [server.endpoint]);
  const b = await sharer(t, "b", [server.endpoint]);
  for (const key of ["deleted-last", "changed-last", "both"]) await a.things.put(key, { text: "0" });
  await eventually("b knows them", () => b.things.table.size === 3);
  await server.kill();
  await b.things.put("deleted-last", { text: "b" });
  await clockAdvances();
  await a.things.delete("deleted-last");
  await a.things.delete("changed-last");
  await clockAdvances();
  await b.things.put("changed-last", { text: "b" });
  await b.things.put("both", { text: "b" });
  await clockAdvances();
  await a.things.put("both", { text: "a" });
  await server.start();
  const settled = { both: "a", "changed-last": "b" };
  await eventually(
    "both agree",
    () =>
      [a, b].every(
        (node) =>
          JSON.stringify(node.rows("things")) === JSON.stringify(settled) &&
          node.pending("things").length === 0,
      ),
    60_000,
  );
  t.pass();
});

test("an etcd that hangs is noticed, and a pause beyond all leases takes nothing away from those who live", async (t) => {
  const server = await etcd(t);
  const a = await sharer(t, "a", [server.endpoint], { flags: shortLeases });
  const b = await sharer(t, "b", [server.endpoint], { flags: shortLeases });
  await a.claims.put("mine", { text: "of a" });
  await eventually("b sees it", () => b.rows("claims").mine);
  const seen: string[] = [];
  b.claims.table.changes().subscribe(({ kind }) => seen.push(kind));
  server.pause();
  await noEtcd(b);
  await a.claims.put("meanwhile", { text: "of a" });
  // Longer than the leases' time to live.
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  server.resume();
  await eventually("b sees what came meanwhile", () => b.rows("claims").meanwhile === "of a", 60_000);
  await Promise.all([well(a), well(b)]);
  // Until what did not come back would have been dropped.
  await new Promise((resolve) => setTimeout(resolve, 5_500));
  t.deepEqual(b.rows("claims"), { meanwhile: "of a", mine: "of a" });
  t.false(seen.includes("delete"), "nothing flickered");
  t.deepEqual((await server.keys("waggle/default/claims/")).length, 2);
});

test("a wiped etcd is filled again from what the nodes know, nothing lost or doubled", async (t) => {
  const server = await etcd(t);
  const stateDir = await temporary(t, "state-late");
  const a = await sharer(t, "a", [server.endpoint]);
  const b = await sharer(t, "b", [server.endpoint]);
  const late = await sharer(t, "late", [server.endpoint], { stateDir });
  for (let i = 0; i < 150; i += 1) await a.things.put(`row-${i}`, { text: String(i) });
  await a.things.put("deleted", { text: "0" });
  await a.claims.put("of-a", { text: "a" });
  await b.claims.put("of-b", { text: "b" });
  await eventually("all know all", () =>
    [a, b, late].every((node) => node.things.table.size === 151 && node.claims.table.size === 2),
  );
  await late.stop();
  await a.things.delete("deleted");
  await eventually("b has seen the deletion", () => !b.things.table.has("deleted"));
  const gone: string[] = [];
  b.things.table.changes().subscribe((change) => change.kind === "delete" && gone.push(change.key));
  b.claims.table.changes().subscribe((change) => change.kind === "delete" && gone.push(change.key));
  await server.wipe();
  await eventually(
    "etcd is full again",
    async () =>
      (await server.keys("waggle/default/things/")).length === 151 &&
      (await server.keys("waggle/default/claims/")).length === 2,
    60_000,
  );
  await Promise.all([well(a), well(b)]);
  // One that still has what was deleted comes to the new etcd.
  const back = await sharer(t, "late", [server.endpoint], { stateDir });
  await eventually("the late one agrees", () => back.things.table.size === 150, 60_000);
  t.false(back.things.table.has("deleted"));
  await eventually("nothing is pending", () =>
    [a, b, back].every((node) => node.pending("things").length + node.pending("claims").length === 0),
  );
  t.deepEqual(back.rows("things"), a.rows("things"));
  t.deepEqual(gone, []);
  t.is(a.things.table.get("row-7")?.node, "a");
});

test("a watch that was away while etcd compacted lists again, and misses no deletion", async (t) => {
  const server = await etcd(t);
  const stateDir = await temporary(t, "state-a");
  const b = await sharer(t, "b", [server.endpoint]);
  const first = await sharer(t, "a", [server.endpoint], { stateDir });
  for (const key of ["kept", "deleted", "changed"]) await b.things.put(key, { text: "0" });
  await eventually("a knows them", () => first.things.table.size === 3);
  await first.stop();
  await b.things.delete("deleted");
  await b.things.put("changed", { text: "1" });
  await b.things.put("new", { text: "1" });
  await eventually("etcd has it", () => b.pending("things").length === 0);
  await server.compact();
  const a = await sharer(t, "a", [server.endpoint], { stateDir });
  await eventually(
    "a is current",
    () => JSON.stringify(a.rows("things")) === JSON.stringify(b.rows("things")),
  );
  t.deepEqual(a.rows("things"), { changed: "1", kept: "0", new: "1" });
});

test("a claimed key has one owner, and the one who came second says whose it is", async (t) => {
  const server = await etcd(t);
  const a = await sharer(t, "a", [server.endpoint]);
  const b = await sharer(t, "b", [server.endpoint]);
  await a.claims.put("one", { text: "a" });
  await eventually("a has it", () => a.pending("claims").length === 0);
  await b.claims.put("one", { text: "b" });
  await eventually("b says why", () => b.complaints().includes("one belongs to node a"));
  t.is(b.claims.table.get("one")?.own, false);
  await a.claims.delete("one");
  await eventually("it is b's now", () => a.rows("claims").one === "b");
  await well(b);
});

test("what others wrote that makes no sense is left out and told", async (t) => {
  const server = await etcd(t);
  const a = await sharer(t, "a", [server.endpoint]);
  await server.ctl("put", "waggle/default/things/bad", "{");
  await server.ctl("put", "waggle/default/things/worse", '{"value":{},"node":"x","time":1}');
  await eventually("it is told", () => /bad cannot be read.*worse cannot be read/.test(a.complaints()));
  await a.things.put("bad", { text: "good" });
  await server.ctl("del", "waggle/default/things/worse");
  await well(a);
  t.deepEqual(a.rows("things"), { bad: "good" });
});

test("changes made before etcd was configured reach it", async (t) => {
  const stateDir = await temporary(t, "state-a");
  const alone = await sharer(t, "a", [], { stateDir });
  await alone.things.put("x", { text: "1" });
  await alone.things.put("y", { text: "1" });
  await alone.things.delete("y");
  t.deepEqual(alone.pending("things"), []);
  await alone.stop();
  const server = await etcd(t);
  const b = await sharer(t, "b", [server.endpoint]);
  await sharer(t, "a", [server.endpoint], { stateDir });
  await eventually("b sees it", () => b.rows("things").x === "1");
  t.deepEqual(b.rows("things"), { x: "1" });
});

test("60,000 rows of other nodes load in seconds, and 1,000 changes a second are no trouble", async (t) => {
  const server = await etcd(t);
  const client = await EtcdClient.create(server.endpoint, { ca: "", cert: "", key: "" }, 30_000);
  t.teardown(() => client.close());
  const value = Buffer.from(JSON.stringify({ value: { text: "x" }, node: "ghost", time: 1 }));
  for (let first = 0; first < 60_000; first += 120) {
    const keys = Array.from({ length: 120 }, (_, i) => Buffer.from(`waggle/default/claims/${first + i}`));
    await client.txn({ success: keys.map((key) => ({ request_put: { key, value } })) });
  }
  let began = performance.now();
  const b = await sharer(t, "b", [server.endpoint]);
  await eventually("all are known", () => b.claims.table.size === 60_000, 60_000);
  const loaded = performance.now() - began;
  t.log(`60,000 rows loaded in ${Math.round(loaded)} ms`);
  t.true(loaded < 60_000);
  const a = await sharer(t, "a", [server.endpoint]);
  began = performance.now();
  await Promise.all(Array.from({ length: 5_000 }, (_, i) => a.claims.put(`new-${i}`, { text: "y" })));
  await eventually("the changes are known", () => b.claims.table.size === 65_000, 60_000);
  const changed = performance.now() - began;
  t.log(`5,000 changes followed in ${Math.round(changed)} ms`);
  t.true(changed < 60_000);
});
