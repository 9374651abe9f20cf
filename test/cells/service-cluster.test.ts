import test from "ava";
import { eventually } from "../support/eventually.ts";
import { ClusterCollection, refusal, ServiceNode } from "./service-node.ts";
import { wantedService } from "./support.ts";

const names = ["one", "two"] as const;

async function cluster(t: Parameters<typeof ServiceNode.start>[0]) {
  const shared = new ClusterCollection();
  const start = (nodeName: string, last: number) =>
    ServiceNode.start(t, {
      cluster: shared,
      config: { nodeName, nodeIpv4: `192.0.2.${last}`, devices: [], routerIpv4: `10.0.${last}.1` },
    });
  return { shared, one: await start("one", 1), two: await start("two", 2) };
}

const frontends = (node: ServiceNode, name: string): string[] | undefined =>
  node.services.table
    .get(name)
    ?.frontends.map((frontend) => `${frontend.ip}: ${node.services.frontendStatus(frontend, "tcp").state}`);

test("a service written at one node is served by all, each at its own addresses", async (t) => {
  const { one, two } = await cluster(t);
  await one.services.upsert(wantedService("web", "10.96.0.1", ["10.0.1.2"], { nodePort: 30_080 }));
  await eventually("the other one serves it", () =>
    frontends(two, "web")?.every((frontend) => frontend.endsWith("active")),
  );
  t.deepEqual(frontends(two, "web"), ["10.96.0.1: active", "192.0.2.2: active", "10.0.2.1: active"]);
  t.is(two.services.table.get("web")?.node, "one");
  await two.services.updateBackends("web", { upsert: [], remove: [{ ip: "10.0.1.2", port: 8080 }] });
  await eventually("the change is back", () => one.size("backends4") === 0);
  await one.services.delete("web");
  await eventually("it is gone from both", () => one.entries + two.entries === 0);
});

test("what another node has is refused, with its holder's name", async (t) => {
  const { one, two } = await cluster(t);
  await one.services.upsert(wantedService("a", "10.96.0.1", [], { nodePort: 30_080 }));
  await eventually("it is known", () => two.services.table.has("a"));
  const clash = await refusal(two.services.upsert(wantedService("b", "10.96.0.1")));
  t.regex(clash.message, /10\.96\.0\.1:80\/tcp belongs to service "a"/);
  const port = await refusal(two.services.upsert(wantedService("b", "10.96.0.2", [], { nodePort: 30_080 })));
  t.regex(port.message, /node port 30080\/tcp of IPv4 belongs to service "a"/);
});

test("of services written at the same time, all nodes serve the same one; the other shows a conflict until it is free", async (t) => {
  const { shared, one, two } = await cluster(t);
  await one.services.upsert(wantedService("template", "10.96.0.9", ["10.0.1.2"], { nodePort: 30_080 }));
  const { ...spec } = shared.value("template") as { ip: string; order: number };
  await one.services.delete("template");
  // As two nodes had written them while neither saw the other's.
  shared.write("three", { early: { ...spec, ip: "10.96.0.1", order: 5 } });
  shared.write("four", { late: { ...spec, ip: "10.96.0.2", order: 6 } });
  for (const node of [one, two]) {
    await eventually("one is served", () => frontends(node, "early")?.[1]?.endsWith("active"));
    await eventually("the other is known", () => node.services.table.has("late"));
    t.deepEqual(
      frontends(node, "late")?.map((frontend) => frontend.split(": ")[1]),
      ["active", "conflict", "conflict"],
    );
    const [, conflict] = node.services.table.get("late")!.frontends;
    t.is(conflict?.problem?.message, 'node port 30080/tcp of IPv4 belongs to service "early"');
  }
  // A loser can still be changed.
  await one.services.updateBackends("late", { upsert: [], remove: [{ ip: "10.0.1.2", port: 8080 }] });
  await one.services.delete("early");
  for (const node of [one, two])
    await eventually("the other one takes over", () =>
      frontends(node, "late")?.every((frontend) => frontend.endsWith("active")),
    );
  for (const node of [one, two]) node.noLetDown(t);
});

test("who comes later never takes a frontend from who has it, not even by changing", async (t) => {
  const { shared, one, two } = await cluster(t);
  const order = (name: string) => (shared.value(name) as { order: number }).order;
  await one.services.upsert(wantedService("a", "10.96.0.1"));
  await eventually("it is known", () => two.services.table.has("a"));
  await two.services.upsert(wantedService("b", "10.96.0.2"));
  t.true(order("b") > order("a"));
  const before = order("a");
  await one.services.upsert(wantedService("a", "10.96.0.1", ["10.0.1.2"]));
  t.is(order("a"), before, "its place is unchanged, and so is its turn");
  await eventually("b is known", () => one.services.table.has("b"));
  await one.services.upsert(wantedService("a", "10.96.0.3"));
  t.true(order("a") > order("b"));
});

test("numbers are each node's own, whatever order services arrive in", async (t) => {
  const { one, two } = await cluster(t);
  await one.services.upsert(wantedService("x", "10.96.0.1", ["10.0.1.9"]));
  await one.services.delete("x");
  await eventually("nothing is left", () => two.entries === 0);
  await Promise.all(
    names.map((name, index) => {
      const node = index === 0 ? one : two;
      return node.services.upsert(wantedService(name, `10.96.1.${index + 1}`, [`10.0.1.${index + 1}`]));
    }),
  );
  for (const node of [one, two]) {
    await eventually("both are served", () => node.size("backends4") === 2);
    const indexes = names.map((name) => node.revNat(name));
    t.is(new Set(indexes).size, 2);
  }
});
