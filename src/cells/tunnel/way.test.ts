import test from "ava";
import type { BaseChain, NetChange, Route } from "../../datapath/index.ts";
import type { TunnelControl } from "../../datapath/maps/index.ts";
import { type TunnelChoice, TunnelSteering, type TunnelSteeringParts, type TunnelWay } from "./way.ts";

const underlay: Route = { destination: "0.0.0.0/0", gateway: "172.18.0.1", ifindex: 2 };
const pods: Route = { destination: "10.0.2.0/24", ifindex: 4, mtu: 1450, protocol: 87 };
const toOther = (mtu?: number): Route => ({
  destination: "172.19.0.0/16",
  ifindex: 2,
  ...(mtu === undefined ? {} : { mtu }),
});
const changed = (route: Route): NetChange => ({ kind: "route", gone: false, route });

const chain = (family: string, hook: string): BaseChain => ({
  family,
  table: "filter",
  chain: "guard",
  hook,
});
const direct: TunnelChoice = { way: "direct" };
const device = (why: string): TunnelChoice => ({ way: "device", why });

/** A node's network, and what its programs have been told. */
function node(transmit: TunnelWay | "auto" = "auto", receive = transmit) {
  const facts = {
    policies: 0,
    routes: [underlay, pods] as readonly Route[],
    chains: [] as readonly BaseChain[],
    legacy: [] as readonly string[],
    /** What cannot be asked for. */
    broken: new Set<keyof TunnelSteeringParts["net"]>(),
    reads: 0,
    lists: 0,
    clock: 5n,
  };
  const ask = async <T>(what: keyof TunnelSteeringParts["net"], answer: () => T): Promise<T> => {
    if (facts.broken.has(what)) throw new Error(`no ${what}`);
    return answer();
  };
  const told: [bigint, bigint][] = [];
  const control = {
    update: (_: number, { transmitUntilNs, receiveUntilNs }: TunnelControl) =>
      told.push([transmitUntilNs, receiveUntilNs]),
  };
  const steering = new TunnelSteering({
    wanted: { transmit, receive },
    net: {
      ipsecPolicies: () => ask("ipsecPolicies", () => facts.policies),
      baseChains: () =>
        ask("baseChains", () => {
          facts.lists += 1;
          return facts.chains;
        }),
      legacyTables: () => ask("legacyTables", () => facts.legacy),
      routes: () =>
        ask("routes", () => {
          facts.reads += 1;
          return facts.routes;
        }),
    },
    mtu: () => 1500,
    isOwn: ({ protocol }) => protocol === 87,
    control: () => control as unknown as ReturnType<TunnelSteeringParts["control"]>,
    now: () => facts.clock,
  });
  return { facts, told, steering };
}

test("programs hear for half a minute at a time that they may do it by themselves", async (t) => {
  const { facts, told, steering } = node();
  t.deepEqual(await steering.pass(), { transmit: direct, receive: direct });
  facts.clock += 5_000_000_000n;
  await steering.pass();
  t.deepEqual(told, [
    [30_000_000_005n, 30_000_000_005n],
    [35_000_000_005n, 35_000_000_005n],
  ]);
  t.is(facts.reads, 1, "routes are read when one of them has changed");
});

test("IPsec policies are believed to come back", async (t) => {
  const { facts, told, steering } = node();
  facts.policies = 2;
  const both = device("the node has had IPsec policies");
  t.deepEqual(await steering.pass(), { transmit: both, receive: both });
  facts.policies = 0;
  t.deepEqual(await steering.pass(), { transmit: both, receive: both });
  t.deepEqual(told, [
    [0n, 0n],
    [0n, 0n],
  ]);
});

test("a route with an MTU below the devices' is obeyed while it is there, by what is sent", async (t) => {
  const { facts, steering } = node();
  await steering.pass();
  facts.routes = [underlay, pods, toOther(1400)];
  t.false(steering.observe(changed(toOther())), "a route without one says nothing");
  t.true(steering.observe(changed(toOther(1400))));
  t.deepEqual(await steering.pass(), {
    transmit: device("the route to 172.19.0.0/16 has an MTU of 1400, below 1500"),
    receive: direct,
  });
  facts.routes = [underlay, pods, toOther()];
  t.true(steering.observe(changed(toOther())), "it may be that one, replaced");
  t.deepEqual(await steering.pass(), { transmit: direct, receive: direct });
});

test("a route that changes while routes are read is not missed; the agent's own are no reason to read", async (t) => {
  const { facts, steering } = node();
  const before = facts.routes;
  const passing = steering.pass();
  while (facts.reads === 0) await Promise.resolve();
  t.is(facts.routes, before);
  facts.routes = [underlay, pods, toOther(1400)];
  t.true(steering.observe(changed(toOther(1400))));
  t.is((await passing).transmit.way, "direct");
  t.is((await steering.pass()).transmit.way, "device");
  t.false(steering.observe(changed(pods)));
  t.true(steering.observe({ kind: "resync" }));
});

test("chains that would see what comes in for the node see it while they are there", async (t) => {
  const { facts, told, steering } = node();
  const seeing = [
    chain("inet", "ingress"),
    chain("inet", "prerouting"),
    chain("inet", "input"),
    chain("ip", "prerouting"),
    chain("ip", "input"),
    chain("netdev", "ingress"),
  ];
  const becomes = (chains: readonly BaseChain[]): boolean => {
    facts.chains = chains;
    const told = chains.map((one) => steering.observeChain({ kind: "came", chain: one }));
    return told.includes(true);
  };
  for (const one of seeing) {
    t.true(becomes([one]));
    const receive = device(`table ${one.family} filter has a chain at ${one.hook}`);
    t.deepEqual(await steering.pass(), { transmit: direct, receive });
    t.is(told.at(-1)?.[1], 0n);
  }
  t.true(becomes(seeing));
  const { receive } = await steering.pass();
  t.deepEqual(receive, device("table inet filter has a chain at ingress, the first of 6"));
  facts.legacy = ["nat"];
  t.deepEqual((await steering.pass()).receive, device("iptables has a table nat"));
  facts.legacy = [];
  const blind = [
    ...["forward", "output", "postrouting"].map((hook) => chain("inet", hook)),
    chain("netdev", "egress"),
    ...["ip6", "bridge", "arp"].map((family) => chain(family, "input")),
  ];
  t.false(becomes(blind));
  steering.observeChain({ kind: "resync" });
  t.deepEqual((await steering.pass()).receive, direct);
});

test("chains are listed when one of them may have come or gone, and once a minute while somebody filters", async (t) => {
  const { facts, steering } = node();
  const passes = async (): Promise<readonly [way: string, lists: number]> => [
    (await steering.pass()).receive.way,
    facts.lists,
  ];
  t.deepEqual(await passes(), ["direct", 1]);
  facts.clock += 3_600_000_000_000n;
  t.deepEqual(await passes(), ["direct", 1]);
  facts.chains = [chain("inet", "input")];
  t.true(steering.observeChain({ kind: "came", chain: facts.chains[0]! }));
  t.deepEqual(await passes(), ["device", 2]);
  for (const [table, name] of [
    ["filter", "other"],
    ["kube-proxy", "guard"],
    ["kube-proxy", undefined],
  ] as const) {
    const gone = {
      kind: "gone",
      family: "inet",
      table,
      ...(name === undefined ? {} : { chain: name }),
    } as const;
    t.false(steering.observeChain(gone), "nobody else's end matters");
  }
  t.deepEqual(await passes(), ["device", 2]);
  for (const name of [{ chain: "guard" }, {}]) {
    t.true(steering.observeChain({ kind: "gone", family: "inet", table: "filter", ...name }));
  }
  t.deepEqual(await passes(), ["device", 3], "one of that name is still there");
  facts.chains = [];
  facts.clock += 59_000_000_000n;
  t.deepEqual(await passes(), ["device", 3]);
  facts.clock += 1_000_000_000n;
  t.deepEqual(await passes(), ["direct", 4], "its owner has ended, which nobody tells");
});

test("what the operator says is done", async (t) => {
  for (const way of ["direct", "device"] as const) {
    const { facts, told, steering } = node(way);
    facts.policies = 1;
    facts.chains = [chain("inet", "input")];
    facts.broken = new Set(["routes"]);
    t.deepEqual(await steering.pass(), { transmit: { way }, receive: { way } });
    const until = way === "direct" ? 30_000_000_005n : 0n;
    t.deepEqual(told, [[until, until]]);
  }
  const { facts, steering } = node("direct", "auto");
  facts.chains = [chain("inet", "input")];
  const receive = device("table inet filter has a chain at input");
  t.deepEqual(await steering.pass(), { transmit: direct, receive });
});

test("what cannot be found out is not said again, and the other direction does not wait for it", async (t) => {
  const { facts, told, steering } = node();
  await steering.pass();
  const [first] = told;
  facts.clock += 1n;
  facts.broken = new Set(["legacyTables"]);
  await t.throwsAsync(steering.pass(), { message: "no legacyTables" });
  t.deepEqual(told.at(-1), [first![0] + 1n, first![1]]);
  facts.broken = new Set(["baseChains", "routes"]);
  steering.observe({ kind: "resync" });
  steering.observeChain({ kind: "resync" });
  await t.throwsAsync(steering.pass(), { message: /no routes.*no baseChains/ });
  facts.broken = new Set(["ipsecPolicies"]);
  await t.throwsAsync(steering.pass(), { message: "no ipsecPolicies" });
  t.deepEqual(told.at(-1), [first![0] + 1n, first![1]]);
  facts.broken = new Set();
  await steering.pass();
  t.deepEqual(told.at(-1), [first![0] + 1n, first![1] + 1n]);
});
