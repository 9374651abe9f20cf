import test, { type ExecutionContext } from "ava";
import { DatapathToken, GlobalMapsToken } from "../../src/cells/datapath/index.ts";
import type { Endpoint, PolicyRule } from "../../src/cells/endpoints/types.ts";
import { RefusalError } from "../../src/cells/errors.ts";
import { Identities, type IdentityAllocator, identityCell } from "../../src/cells/identity/index.ts";
import { Policies, type PolicyMaps, policyMapsCell } from "../../src/cells/policy-maps/index.ts";
import { stateCell } from "../../src/cells/state/index.ts";
import { type PolicyEntry, type PolicyKey, policyEntry, policyMap } from "../../src/datapath/maps/index.ts";
import { Hive, invoke, silentLogger, supply } from "../../src/hive/index.ts";
import { type Entry, MemoryKernel, type MemoryMap, scratchDirectory } from "./support.ts";

function hiveOf(kernel: MemoryKernel, stateDir: string): Hive {
  return new Hive({
    name: "policy-test",
    logger: silentLogger,
    cells: [
      stateCell,
      identityCell,
      supply(GlobalMapsToken, kernel.globalMaps()),
      supply(DatapathToken, kernel.datapath()),
      policyMapsCell,
      invoke({ policies: Policies }, () => undefined),
    ],
    settings: { flags: { "state-dir": stateDir } },
  });
}

interface Running {
  readonly kernel: MemoryKernel;
  readonly identities: IdentityAllocator;
  readonly policies: PolicyMaps;
  stop(): Promise<void>;
}

async function started(
  t: ExecutionContext,
  kernel = new MemoryKernel(),
  stateDir?: string,
): Promise<Running> {
  const hive = hiveOf(kernel, stateDir ?? (await scratchDirectory(t)));
  await hive.start();
  t.teardown(() => hive.stop());
  return {
    kernel,
    identities: hive.get(Identities),
    policies: hive.get(Policies),
    stop: () => hive.stop(),
  };
}

const pin = (kernel: MemoryKernel, id: number): MemoryMap => {
  const map = kernel.pinned.get(`/memory/policy/cilium_policy_${String(id).padStart(5, "0")}`);
  if (map === undefined) throw new Error(`endpoint ${id} has no policy map`);
  return map;
};

function contents(map: MemoryMap): string[] {
  return [...map.content]
    .map(([key, value]) => {
      const entry = policyMap.value.decode(value, 0);
      return `${policyMap.formatKey(policyMap.key.decode(Buffer.from(key, "latin1"), 0))} ${entry.deny ? "deny" : "allow"}`;
    })
    .sort();
}

const rule = (text: string): PolicyRule => {
  const [action, direction, peer = "any", protocol = "any", port = "0"] = text.split(" ");
  const labels = peer.includes("=")
    ? Object.fromEntries(peer.split(",").map((pair) => pair.split("=")))
    : undefined;
  return {
    action: action as PolicyRule["action"],
    direction: direction as PolicyRule["direction"],
    protocol: protocol as PolicyRule["protocol"],
    port: Number(port),
    peer:
      labels !== undefined
        ? { kind: "labels", labels }
        : peer === "any"
          ? { kind: "any" }
          : { kind: "reserved", name: peer },
  };
};

const endpoint = (id: number, rules: readonly string[]): Endpoint =>
  ({
    id,
    spec: { policy: { enforceIngress: true, enforceEgress: true, rules: rules.map(rule) } },
  }) as unknown as Endpoint;

test("the wiring is complete", (t) => {
  t.notThrows(() => hiveOf(new MemoryKernel(), "/nonexistent").populate());
});

test("rules become entries for each identity they select", async (t) => {
  const { kernel, identities, policies } = await started(t);
  const web = await identities.acquire({ app: "web", env: "prod" });
  const test2 = await identities.acquire({ app: "web", env: "test" });
  await policies.ensure(
    endpoint(12, [
      "allow ingress app=web tcp 80",
      "deny ingress app=web,env=test",
      "allow ingress host",
      "allow egress any udp 53",
      "allow egress world any 443",
      "allow egress any icmp",
    ]),
  );
  t.deepEqual(contents(pin(kernel, 12)), [
    "Egress: 0 0/ICMP allow",
    "Egress: 0 0/ICMPv6 allow",
    "Egress: 0 53/UDP allow",
    "Egress: 2 443/SCTP allow",
    "Egress: 2 443/TCP allow",
    "Egress: 2 443/UDP allow",
    "Ingress: 1 0/ANY allow",
    `Ingress: ${web.id} 80/TCP allow`,
    `Ingress: ${test2.id} 0/ANY deny`,
  ]);
});

test("an identity is in all maps that select it as soon as it is acquired, and out when it is released", async (t) => {
  const { kernel, identities, policies } = await started(t);
  await policies.ensure(endpoint(1, ["allow ingress app=web"]));
  await policies.ensure(endpoint(2, ["allow egress app=web tcp 80", "allow ingress app=db"]));
  const acquiring = identities.acquire({ app: "web" });
  t.deepEqual(contents(pin(kernel, 1)), ["Ingress: 256 0/ANY allow"]);
  t.deepEqual(contents(pin(kernel, 2)), ["Egress: 256 80/TCP allow"]);
  const { id } = await acquiring;
  await identities.acquire({ app: "web" });
  const writes = kernel.journal.length;
  await identities.release(id);
  t.is(kernel.journal.length, writes);
  await identities.release(id);
  t.deepEqual(contents(pin(kernel, 1)), []);
  t.deepEqual(contents(pin(kernel, 2)), []);
});

test("after a restart the pinned map is used, corrected, and follows again", async (t) => {
  const kernel = new MemoryKernel();
  const stateDir = await scratchDirectory(t);
  const first = await started(t, kernel, stateDir);
  await first.identities.acquire({ app: "web" });
  await first.policies.ensure(endpoint(1, ["allow ingress app=web"]));
  await first.stop();
  const map = pin(kernel, 1);
  const key: PolicyKey = { identity: 999, direction: "ingress", protocol: 0, port: 0 };
  const bytes = [Buffer.alloc(policyMap.keySize), Buffer.alloc(policyMap.valueSize)] as const;
  policyMap.key.encode(key, bytes[0], 0);
  policyMap.value.encode(policyEntry(key, false), bytes[1], 0);
  map.content.set(bytes[0].toString("latin1"), bytes[1]);
  const writes = kernel.journal.length;

  const second = await started(t, kernel, stateDir);
  await second.policies.ensure(endpoint(1, ["allow ingress app=web"]));
  t.is(pin(kernel, 1), map);
  t.deepEqual(contents(map), ["Ingress: 256 0/ANY allow"]);
  t.deepEqual(
    kernel.journal.slice(writes).map(({ what }) => what),
    ["delete"],
  );
});

test("removing an endpoint unpins its map", async (t) => {
  const { kernel, policies, identities } = await started(t);
  await policies.ensure(endpoint(1, ["allow ingress app=web"]));
  policies.remove(1);
  t.is(kernel.pinned.size, 0);
  await identities.acquire({ app: "web" });
  t.notThrows(() => policies.remove(1));
});

test("more entries than the map has room for are refused and change nothing", async (t) => {
  const { kernel, policies } = await started(t);
  await policies.ensure(endpoint(1, ["allow ingress any tcp 1"]));
  const many = Array.from({ length: 16_385 }, (_, i) => `allow ingress any tcp ${i + 1}`);
  const error = await t.throwsAsync(policies.ensure(endpoint(1, many)), { instanceOf: RefusalError });
  t.is((error as RefusalError).kind, "RESOURCE_EXHAUSTED");
  t.deepEqual(contents(pin(kernel, 1)), ["Ingress: 0 1/TCP allow"]);
});

test("a map that could not follow an identity is repaired", async (t) => {
  const { kernel, policies, identities } = await started(t);
  await policies.ensure(endpoint(1, ["allow ingress app=web"]));
  pin(kernel, 1).fail = new Error("ENOMEM");
  await identities.acquire({ app: "web" });
  t.deepEqual(contents(pin(kernel, 1)), []);
  pin(kernel, 1).fail = undefined;
  while (contents(pin(kernel, 1)).length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  t.deepEqual(contents(pin(kernel, 1)), ["Ingress: 256 0/ANY allow"]);
});

interface Packet {
  readonly identity: number;
  readonly protocol: number;
  readonly port: number;
}

/** What bpf/lib/policy.h does: longest match under the identity and under any, and a denial wins. */
function kernelAllows(map: ReadonlyMap<string, readonly [PolicyKey, PolicyEntry]>, packet: Packet): boolean {
  const matches = [packet.identity, 0].map((identity) =>
    [
      { identity, direction: "ingress" as const, protocol: packet.protocol, port: packet.port },
      { identity, direction: "ingress" as const, protocol: packet.protocol, port: 0 },
      { identity, direction: "ingress" as const, protocol: 0, port: 0 },
    ]
      .map((key) => map.get(policyMap.formatKey(key))?.[1])
      .find((entry) => entry !== undefined),
  );
  if (matches.some((entry) => entry?.deny === true)) return false;
  return matches.some((entry) => entry !== undefined);
}

/** What rules mean: allowed when one allows and none denies. */
function rulesAllow(
  rules: readonly PolicyRule[],
  { identity, protocol, port }: Packet,
  web: number,
): boolean {
  const hits = rules.filter((each) => {
    const peer =
      each.peer.kind === "any" ||
      (each.peer.kind === "labels" && identity === web) ||
      (each.peer.kind === "reserved" && identity === 2);
    const protocols = { any: [6, 17, 1, 58, 132], tcp: [6], udp: [17], icmp: [1, 58], sctp: [132] }[
      each.protocol
    ];
    return peer && protocols.includes(protocol) && (each.port === 0 || each.port === port);
  });
  return hits.some(({ action }) => action === "allow") && !hits.some(({ action }) => action === "deny");
}

test("the map means what the rules mean, and in between nobody is treated as neither old nor new rules say", async (t) => {
  const { kernel, policies, identities } = await started(t);
  const web = (await identities.acquire({ app: "web" })).id;
  const packets: Packet[] = [web, 2, 77].flatMap((identity) => [
    ...[1, 58].map((protocol) => ({ identity, protocol, port: 0 })),
    ...[6, 17, 132].flatMap((protocol) => [80, 81].map((port) => ({ identity, protocol, port }))),
  ]);
  let seed = 7;
  const pick = <T>(from: readonly T[]): T => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return from[(seed >> 12) % from.length]!;
  };
  const state = new Map<string, readonly [PolicyKey, PolicyEntry]>();
  const replay = ({ what, key, value }: Entry): void => {
    const decoded = policyMap.key.decode(key, 0);
    if (what === "delete") state.delete(policyMap.formatKey(decoded));
    else state.set(policyMap.formatKey(decoded), [decoded, policyMap.value.decode(value!, 0)]);
  };
  let old: PolicyRule[] = [];
  const wrong: string[] = [];
  for (let round = 0; round < 600; round += 1) {
    const texts = Array.from({ length: pick([0, 1, 2, 3, 5, 8]) }, () => {
      const [protocol, port] = pick([
        "any 0",
        "any 80",
        "tcp 0",
        "tcp 80",
        "udp 80",
        "sctp 80",
        "icmp 0",
      ]).split(" ");
      return `${pick(["allow", "allow", "deny"])} ingress ${pick(["any", "app=web", "world"])} ${protocol} ${port}`;
    });
    const rules = texts.map(rule);
    const from = kernel.journal.length;
    await policies.ensure(endpoint(1, texts));
    for (const entry of kernel.journal.slice(from)) {
      replay(entry);
      for (const packet of packets) {
        const before = rulesAllow(old, packet, web);
        if (before !== rulesAllow(rules, packet, web)) continue;
        if (kernelAllows(state, packet) !== before) {
          wrong.push(
            `round ${round}: ${JSON.stringify(packet)} should be ${before} throughout ${texts.join("; ")}`,
          );
        }
      }
    }
    for (const packet of packets) {
      if (kernelAllows(state, packet) !== rulesAllow(rules, packet, web)) {
        wrong.push(`round ${round}: ${JSON.stringify(packet)} after ${texts.join("; ")}`);
      }
    }
    old = rules;
  }
  t.deepEqual(wrong.slice(0, 3), []);
});

test("100 endpoints follow 1,000 identities in time", async (t) => {
  const { kernel, policies, identities } = await started(t);
  for (let id = 1; id <= 100; id += 1) {
    await policies.ensure(endpoint(id, ["allow ingress app=web tcp 80", "allow egress any udp 53"]));
  }
  const began = performance.now();
  await Promise.all(Array.from({ length: 1_000 }, (_, i) => identities.acquire({ app: "web", n: `${i}` })));
  t.log(`${Math.round(performance.now() - began)} ms`);
  t.is(pin(kernel, 100).content.size, 1_001);
});
