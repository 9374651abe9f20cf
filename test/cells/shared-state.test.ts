import test, { type ExecutionContext } from "ava";
import { EtcdServer } from "../support/etcd.ts";
import { eventually } from "../support/eventually.ts";
import { sharer } from "./shared-nodes.ts";

async function etcd(t: ExecutionContext): Promise<EtcdServer> {
  const server = await EtcdServer.start();
  t.teardown(() => server.remove());
  return server;
}

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
});
