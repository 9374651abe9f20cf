import test from "ava";
import type { Backend, BackendState, WantedService } from "../../src/cells/services/index.ts";
import {
  type LbAffinityMatch,
  type LbService,
  lb4ServicesMap,
  unpackFrontend,
} from "../../src/datapath/maps/index.ts";
import { eventually } from "../support/eventually.ts";
import { lbMaps, refusal, ServiceNode } from "./service-node.ts";
import { nodeConfig, wantedService } from "./support.ts";

const dual = { routerIpv6: "fd00:10:0:1::1", nodeIpv6: "2001:db8::10" };

const backend = (ip: string, state: BackendState = "active", node = ""): Backend => ({
  ip,
  port: 8080,
  state,
  node,
});
const service = (
  name: string,
  ip: string,
  backends: readonly Backend[],
  change: Partial<WantedService> = {},
) => wantedService(name, ip, [], { backends, ...change });

/** Slot 0 of an IPv4 frontend. */
const slot0 = (node: ServiceNode, address: string, port = 80): LbService | undefined =>
  node.kernel
    .typed<unknown, LbService>(lb4ServicesMap.name)
    .lookup({ address, port, slot: 0, protocol: 6, scope: 0 });

test("a node port is served at every address of the node, an external IP at its own, each with its index", async (t) => {
  const node = await ServiceNode.start(t);
  const made = await node.services.upsert(
    service("web", "10.96.0.1", [backend("10.0.1.2")], { nodePort: 30_080, externalIps: ["198.51.100.7"] }),
  );
  t.deepEqual(
    made.frontends.map(({ kind, ip, port, revNat }) => [kind, ip, port, revNat]),
    [
      ["cluster-ip", "10.96.0.1", 80, 1],
      ["external-ip", "198.51.100.7", 80, 2],
      ["node-port", "192.0.2.10", 30_080, 3],
      ["node-port", "10.0.1.1", 30_080, 4],
    ],
  );
  t.deepEqual(await node.lines("services4"), [
    "10.0.1.1:30080/TCP (1) -> 1 0 (4) [0x0 0x0]",
    "10.0.1.1:30080/TCP -> 0 1 (4) [0x2 0x0]",
    "10.96.0.1:80/TCP (1) -> 1 0 (1) [0x0 0x0]",
    "10.96.0.1:80/TCP -> 0 1 (1) [0x0 0x0]",
    "192.0.2.10:30080/TCP (1) -> 1 0 (3) [0x0 0x0]",
    "192.0.2.10:30080/TCP -> 0 1 (3) [0x2 0x0]",
    "198.51.100.7:80/TCP (1) -> 1 0 (2) [0x0 0x0]",
    "198.51.100.7:80/TCP -> 0 1 (2) [0x1 0x0]",
  ]);
  t.is(node.size("backends4"), 1);
  await node.services.delete("web");
  t.is(node.entries, 0);
  node.noLetDown(t);
});

test("services of both families share indexes and node ports, and have maps of their own", async (t) => {
  const node = await ServiceNode.start(t, { config: dual });
  const v4 = await node.services.upsert(
    service("web", "10.96.0.1", [backend("10.0.1.2")], { nodePort: 30_080 }),
  );
  const v6 = await node.services.upsert(
    service("web-v6", "FD00:96:0::0001", [backend("fd00:10:0:1::2")], { nodePort: 30_080 }),
  );
  t.is(v6.ip, "fd00:96::1");
  t.deepEqual(await node.lines("services6"), [
    "[2001:db8::10]:30080/TCP (1) -> 2 0 (5) [0x0 0x0]",
    "[2001:db8::10]:30080/TCP -> 0 1 (5) [0x2 0x0]",
    "[fd00:10:0:1::1]:30080/TCP (1) -> 2 0 (6) [0x0 0x0]",
    "[fd00:10:0:1::1]:30080/TCP -> 0 1 (6) [0x2 0x0]",
    "[fd00:96::1]:80/TCP (1) -> 2 0 (4) [0x0 0x0]",
    "[fd00:96::1]:80/TCP -> 0 1 (4) [0x0 0x0]",
  ]);
  t.deepEqual(await node.lines("backends6"), ["2 -> TCP://[fd00:10:0:1::2]:8080"]);
  t.deepEqual((await node.lines("reverseNat6"))[0], "4 -> [fd00:96::1]:80");
  t.is(new Set([...v4.frontends, ...v6.frontends].map(({ revNat }) => revNat)).size, 6);
});

test("when the node's addresses change, its node ports move, and their other frontends stay", async (t) => {
  const node = await ServiceNode.start(t);
  await node.services.upsert(service("web", "10.96.0.1", [backend("10.0.1.2")], { nodePort: 30_080 }));
  const revNat = node.revNat("web");
  const [device] = nodeConfig.devices;
  node.become({ nodeIpv4: "192.0.2.99", devices: [{ ...device!, ipv4: ["192.0.2.99"] }] });
  await eventually("the port is served at the new address", () => slot0(node, "192.0.2.99", 30_080));
  await eventually("the old address is left", () => slot0(node, "192.0.2.10", 30_080) === undefined);
  t.is(node.revNat("web"), revNat);
  node.noLetDown(t);
});

test("local policies leave the slots to the node's own backends, each for its frontends", async (t) => {
  const node = await ServiceNode.start(t);
  const backends = [
    backend("10.0.1.2", "active", nodeConfig.nodeName),
    backend("10.0.2.2", "active", "other"),
    backend("10.0.3.2"),
  ];
  const web = (change: Partial<WantedService>) =>
    node.services.upsert(service("web", "10.96.0.1", backends, { nodePort: 30_080, ...change }));
  const counts = () => [slot0(node, "10.96.0.1")?.count, slot0(node, "192.0.2.10", 30_080)?.count];
  await web({ externalTrafficPolicy: "local" });
  t.deepEqual(counts(), [3, 1]);
  await web({ internalTrafficPolicy: "local" });
  t.deepEqual(counts(), [1, 3]);
  await node.services.updateBackends("web", { upsert: [], remove: [{ ip: "10.0.1.2", port: 8080 }] });
  t.deepEqual(counts(), [0, 2], "without a local one clients are refused");
  t.is(node.size("backends4"), 2);
  node.noLetDown(t);
});

test("terminating backends serve only when no active one is left; quarantined ones are in the slots after", async (t) => {
  const node = await ServiceNode.start(t);
  const slots = async () =>
    (await node.lines("services4")).filter((line) => line.includes(") ->")).map((line) => line.split(" ")[3]);
  const web = (...states: BackendState[]) =>
    node.services.upsert(
      service(
        "web",
        "10.96.0.1",
        states.map((state, index) => backend(`10.0.1.${index + 2}`, state)),
      ),
    );
  await web("quarantined", "active", "terminating");
  t.like(slot0(node, "10.96.0.1"), { count: 1, qcount: 1 });
  t.deepEqual(await slots(), ["2", "1"]);
  const flags = async () =>
    [...(await node.kernel.typed<number, { flags: number }>(lbMaps.backends4).entries())]
      .sort(([left], [right]) => left - right)
      .map(([, value]) => value.flags);
  t.deepEqual(await flags(), [2, 0, 1]);
  await web("quarantined", "terminating", "terminating");
  t.like(slot0(node, "10.96.0.1"), { count: 2, qcount: 1 });
  t.deepEqual(await flags(), [2, 1, 1]);
  await web("quarantined", "quarantined", "quarantined");
  t.like(slot0(node, "10.96.0.1"), { count: 0, qcount: 3 });
  node.noLetDown(t);
});

test("where services differ over a backend, the state that lets the most go on prevails", async (t) => {
  const node = await ServiceNode.start(t);
  const flags = () => node.kernel.typed<number, { flags: number }>(lbMaps.backends4).lookup(1)?.flags;
  await node.services.upsert(service("a", "10.96.0.1", [backend("10.0.1.2", "active")]));
  await node.services.upsert(service("b", "10.96.0.2", [backend("10.0.1.2", "terminating")]));
  t.is(flags(), 0);
  await node.services.upsert(service("a", "10.96.0.1", [backend("10.0.1.2", "quarantined")]));
  t.is(flags(), 2);
  await node.services.delete("a");
  t.is(flags(), 1, "nobody has written b, and yet its backend's state is another");
});

test("affinity has its timeout in slot 0, and an entry for each backend that clients may be kept at", async (t) => {
  const node = await ServiceNode.start(t);
  const matches = async () =>
    (await node.kernel.typed<LbAffinityMatch, number>(lbMaps.affinity).entries())
      .map(([{ backendId, revNatIndex }]) => `${backendId}@${revNatIndex}`)
      .sort();
  const web = (backends: readonly Backend[], affinityTimeoutS: number) =>
    node.services.upsert(
      service("web", "10.96.0.1", backends, { affinityTimeoutS, externalIps: ["10.9.9.9"] }),
    );
  await web([backend("10.0.1.2"), backend("10.0.1.3", "terminating")], 10_800);
  const first = slot0(node, "10.96.0.1")!;
  t.deepEqual(unpackFrontend(first.backendId), { affinityTimeoutS: 10_800, algorithm: 0 });
  t.is(first.flags, 0x10);
  t.is(slot0(node, "10.9.9.9")?.flags, 0x11);
  t.deepEqual(await matches(), ["1@1", "1@2"]);
  await web([backend("10.0.1.2", "terminating"), backend("10.0.1.3"), backend("10.0.1.4")], 10_800);
  t.deepEqual(await matches(), ["2@1", "2@2", "3@1", "3@2"]);
  await web([backend("10.0.1.3")], 0);
  t.deepEqual(await matches(), []);
  t.is(slot0(node, "10.96.0.1")?.flags, 0);
});

test("only services that ask for it have a Maglev table, which changes only with the chosen backends", async (t) => {
  const node = await ServiceNode.start(t);
  const web = (backends: readonly string[], change: Partial<WantedService> = {}) =>
    node.services.upsert(wantedService("web", "10.96.0.1", backends, { algorithm: "maglev", ...change }));
  await node.services.upsert(wantedService("plain", "10.96.0.2", ["10.0.1.2"]));
  await web(["10.0.1.2", "10.0.1.3"]);
  t.is(node.size("maglev"), 1);
  t.is(unpackFrontend(slot0(node, "10.96.0.1")!.backendId).algorithm, 2);
  const writes = () => node.kernel.journal.filter(({ map }) => map === lbMaps.maglev).length;
  t.is(writes(), 1);
  await web(["10.0.1.2", "10.0.1.3"], { affinityTimeoutS: 60 });
  t.is(writes(), 1);
  await web(["10.0.1.2"]);
  t.is(writes(), 2);
  await web([]);
  t.is(node.size("maglev"), 0);
  await web(["10.0.1.2"]);
  await web(["10.0.1.2"], { algorithm: "random" });
  t.is(node.size("maglev"), 0);
  node.noLetDown(t);
});

test("a free node port is chosen where one is asked for, and kept", async (t) => {
  const node = await ServiceNode.start(t);
  const { nodePort } = await node.services.upsert(wantedService("a", "10.96.0.1", [], { nodePort: "auto" }));
  t.true(nodePort >= 30_000 && nodePort <= 32_767);
  const again = await node.services.upsert(
    wantedService("a", "10.96.0.1", ["10.0.1.2"], { nodePort: "auto" }),
  );
  t.is(again.nodePort, nodePort);
  const error = await refusal(node.services.upsert(wantedService("b", "10.96.0.2", [], { nodePort })));
  t.is(error.kind, "ALREADY_EXISTS");
  t.is(error.message, `service "b": node port ${nodePort}/tcp of IPv4 belongs to service "a"`);
  await t.notThrowsAsync(
    node.services.upsert(wantedService("b", "10.96.0.2", [], { nodePort, protocol: "udp" })),
  );
});

test("ports of SCTP are not translated", async (t) => {
  const node = await ServiceNode.start(t);
  const sctp = (port: number, nodePort = 0) =>
    wantedService("sig", "10.96.0.1", [], {
      protocol: "sctp",
      port,
      nodePort,
      backends: [{ ...backend("10.0.1.2"), port: 3868 }],
    });
  t.deepEqual(
    (await refusal(node.services.upsert(sctp(80, 30_080)))).violations.map(({ field }) => field),
    ["nodePort", "backends[0].port"],
  );
  await node.services.upsert(sctp(3868));
  t.deepEqual(await node.lines("backends4"), ["1 -> SCTP://10.0.1.2:3868"]);
});

test("single backends are added, changed and removed, and what is wrong with them is named", async (t) => {
  const node = await ServiceNode.start(t);
  const change = (upsert: readonly Backend[], ...remove: string[]) =>
    node.services.updateBackends("web", { upsert, remove: remove.map((ip) => ({ ip, port: 8080 })) });
  t.is((await refusal(change([]))).kind, "NOT_FOUND");
  await node.services.upsert(wantedService("web", "10.96.0.1", ["10.0.1.2", "10.0.1.3"]));
  const changed = await change([backend("10.0.1.2", "terminating"), backend("10.0.1.4")], "10.0.1.3");
  t.deepEqual(
    changed.backends.map(({ ip, state }) => `${ip} ${state}`),
    ["10.0.1.2 terminating", "10.0.1.4 active"],
  );
  const wrong = await refusal(change([backend("fd00::1"), backend("10.0.1.4")], "10.0.1.9", "10.0.1.4"));
  t.deepEqual(
    wrong.violations.map(({ field }) => field),
    ["upsert[0].ip", "remove[0]", "remove[1]"],
  );
  await Promise.all(Array.from({ length: 20 }, (_, index) => change([backend(`10.0.2.${index + 1}`)])));
  t.is(node.services.table.get("web")?.backends.length, 22, "changes made at once are all there");
});
