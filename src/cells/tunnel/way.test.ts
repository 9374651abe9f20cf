import test from "ava";
import type { NetChange, Route } from "../../datapath/index.ts";
import { TunnelSteering, type TunnelSteeringParts } from "./way.ts";

const underlay: Route = { destination: "0.0.0.0/0", gateway: "172.18.0.1", ifindex: 2 };
const pods: Route = { destination: "10.0.2.0/24", ifindex: 4, mtu: 1450, protocol: 87 };
const toOther = (mtu?: number): Route => ({
  destination: "172.19.0.0/16",
  ifindex: 2,
  ...(mtu === undefined ? {} : { mtu }),
});
const changed = (route: Route): NetChange => ({ kind: "route", gone: false, route });

/** A node's network, and what its programs have been told. */
function node(wanted: TunnelSteeringParts["wanted"]) {
  const facts = { policies: 0, routes: [underlay, pods] as readonly Route[], reads: 0, clock: 5n };
  const told: bigint[] = [];
  const control = {
    update: (_: number, { transmitUntilNs }: { transmitUntilNs: bigint }) => told.push(transmitUntilNs),
  };
  const steering = new TunnelSteering({
    wanted,
    net: {
      ipsecPolicies: async () => facts.policies,
      routes: async () => {
        facts.reads += 1;
        return facts.routes;
      },
    },
    mtu: () => 1500,
    isOwn: ({ protocol }) => protocol === 87,
    control: () => control as unknown as ReturnType<TunnelSteeringParts["control"]>,
    now: () => facts.clock,
  });
  return { facts, told, steering };
}

test("programs hear for half a minute at a time that they may send by themselves", async (t) => {
  const { facts, told, steering } = node("auto");
  t.deepEqual(await steering.pass(), { way: "direct" });
  facts.clock += 5_000_000_000n;
  await steering.pass();
  t.deepEqual(told, [30_000_000_005n, 35_000_000_005n]);
  t.is(facts.reads, 1, "routes are read when one of them has changed");
});

test("IPsec policies are believed to come back", async (t) => {
  const { facts, told, steering } = node("auto");
  facts.policies = 2;
  const device = { way: "device", why: "the node has had IPsec policies" } as const;
  t.deepEqual(await steering.pass(), device);
  facts.policies = 0;
  t.deepEqual(await steering.pass(), device);
  t.deepEqual(told, [0n, 0n]);
});

test("a route with an MTU below the devices' is obeyed while it is there", async (t) => {
  const { facts, steering } = node("auto");
  await steering.pass();
  facts.routes = [underlay, pods, toOther(1400)];
  t.false(steering.observe(changed(toOther())), "a route without one says nothing");
  t.true(steering.observe(changed(toOther(1400))));
  t.deepEqual(await steering.pass(), {
    way: "device",
    why: "the route to 172.19.0.0/16 has an MTU of 1400, below 1500",
  });
  facts.routes = [underlay, pods, toOther()];
  t.true(steering.observe(changed(toOther())), "it may be that one, replaced");
  t.deepEqual(await steering.pass(), { way: "direct" });
});

test("a route that changes while routes are read is not missed; the agent's own are no reason to read", async (t) => {
  const { facts, steering } = node("auto");
  const before = facts.routes;
  const passing = steering.pass();
  while (facts.reads === 0) await Promise.resolve();
  t.is(facts.routes, before);
  facts.routes = [underlay, pods, toOther(1400)];
  t.true(steering.observe(changed(toOther(1400))));
  t.is((await passing).way, "direct");
  t.is((await steering.pass()).way, "device");
  t.false(steering.observe(changed(pods)));
  t.true(steering.observe({ kind: "resync" }));
});

test("what the operator says is done", async (t) => {
  for (const way of ["direct", "device"] as const) {
    const { facts, told, steering } = node(way);
    facts.policies = 1;
    t.deepEqual(await steering.pass(), { way });
    t.deepEqual(told, [way === "direct" ? 30_000_000_005n : 0n]);
  }
});

test("what cannot be found out is not said again", async (t) => {
  const { told, steering } = node("auto");
  const broken = new TunnelSteering({
    wanted: "auto",
    net: { ipsecPolicies: () => Promise.reject(new Error("no")), routes: async () => [] },
    mtu: () => 1500,
    isOwn: () => false,
    control: () => t.fail("nothing is said") as never,
    now: () => 0n,
  });
  await t.throwsAsync(broken.pass(), { message: "no" });
  t.deepEqual(told, []);
  await t.notThrowsAsync(steering.pass());
});
