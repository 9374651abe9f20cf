import { setImmediate } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { RefusalError } from "../../src/cells/errors.ts";
import type { ServiceManager, WantedService } from "../../src/cells/services/index.ts";
import {
  LB_FILTER_WORDS,
  type LbKey,
  type LbService,
  lb4ServicesMap,
  lbFilterBit,
  lbFilterMap,
} from "../../src/datapath/maps/index.ts";
import { ReconcileError } from "../../src/table/index.ts";
import { letDowns } from "./let-downs.ts";
import { lbMaps, refusal, ServiceNode } from "./service-node.ts";
import { type Entry, MemoryKernel, scratchDirectory, wantedService } from "./support.ts";

const servicesMap = lbMaps.services4;
const backendsMap = lbMaps.backends4;
const reverseNatMap = lbMaps.reverseNat4;

const started = (t: ExecutionContext, kernel: MemoryKernel, stateDir: string): Promise<ServiceNode> =>
  ServiceNode.start(t, { kernel, stateDir });
const fresh = (t: ExecutionContext): Promise<ServiceNode> => ServiceNode.start(t);
const service = wantedService;

/** The index of a service's cluster IP. */
const revNat = (services: ServiceManager, name: string): number | undefined =>
  services.table.get(name)?.frontends[0]?.revNat;

const noLetDown = (t: ExecutionContext, kernel: MemoryKernel): boolean =>
  t.deepEqual([...letDowns(kernel.journal)].slice(0, 5), []);

test("the wiring is complete", (t) => {
  t.notThrows(() => ServiceNode.make({ stateDir: "/nonexistent" }).hive.populate());
});

test("a service is in the three maps when the call returns, and gone from all when it is deleted", async (t) => {
  const { kernel, services } = await fresh(t);
  const web = await services.upsert(service("default/web", "10.96.0.1", ["10.0.1.2", "10.0.1.3"]));
  t.is(web.frontends[0]?.revNat, 1);
  t.deepEqual(await kernel.print(servicesMap), [
    "10.96.0.1:80/TCP (1) -> 1 0 (1) [0x0 0x0]",
    "10.96.0.1:80/TCP (2) -> 2 0 (1) [0x0 0x0]",
    "10.96.0.1:80/TCP -> 0 2 (1) [0x0 0x0]",
  ]);
  t.deepEqual(await kernel.print(backendsMap), ["1 -> TCP://10.0.1.2:8080", "2 -> TCP://10.0.1.3:8080"]);
  t.deepEqual(await kernel.print(reverseNatMap), ["1 -> 10.96.0.1:80"]);
  t.is(services.backendId({ ip: "10.0.1.3", port: 8080 }, "tcp"), 2);
  await services.delete("default/web");
  for (const map of [servicesMap, backendsMap, reverseNatMap]) t.deepEqual(await kernel.print(map), []);
  noLetDown(t, kernel);
  t.is((await refusal(services.delete("default/web"))).kind, "NOT_FOUND");
});

test("growing and shrinking writes only what changes and leaves no slot behind", async (t) => {
  const { kernel, services } = await fresh(t);
  await services.upsert(service("web", "10.96.0.1", ["10.0.1.2", "10.0.1.3", "10.0.1.4"]));
  const before = kernel.journal.length;
  await services.upsert(service("web", "10.96.0.1", ["10.0.1.2", "10.0.1.3", "10.0.1.4", "10.0.1.5"]));
  t.deepEqual(
    kernel.journal.slice(before).map(({ map, what }) => `${what} ${map}`),
    [`update ${backendsMap}`, `update ${servicesMap}`, `update ${servicesMap}`],
  );
  await services.upsert(service("web", "10.96.0.1", ["10.0.1.5"]));
  t.deepEqual(await kernel.print(backendsMap), ["4 -> TCP://10.0.1.5:8080"]);
  t.is(kernel.map(servicesMap).content.size, 2);
  await services.upsert(service("web", "10.96.0.1", []));
  t.is(kernel.map(servicesMap).content.size, 1);
  noLetDown(t, kernel);
});

/** The node, once its first prune has made the filter deny what has no frontend. */
async function pruned(node: ServiceNode): Promise<ServiceNode> {
  const filter = node.kernel.typed<number, bigint>(lbFilterMap.name);
  while ((filter.lookup(0) ?? 0n) === 0n) await setImmediate();
  return node;
}

/** Replays what was written to services' maps and says where a frontend was at an address that the filter denies. */
function* hiddenFrontends(journal: readonly Entry[]): Generator<string> {
  const denied = Buffer.alloc(LB_FILTER_WORDS * 8);
  const frontends = new Map<string, string>();
  for (const [at, { map, what, key, value }] of journal.entries()) {
    if (map === lbFilterMap.name) value!.copy(denied, key.readUInt32LE() * 8);
    else if (map !== servicesMap) continue;
    else if (what === "delete") frontends.delete(key.toString("latin1"));
    else frontends.set(key.toString("latin1"), lb4ServicesMap.key.decode(key, 0).address);
    for (const address of frontends.values()) {
      const bit = lbFilterBit(address);
      if ((denied[bit >>> 3]! >>> (bit & 7)) & 1) yield `${at}: ${address}`;
    }
  }
}

/** Addresses, of some, that packets pass by. */
async function passedBy(kernel: MemoryKernel, ...addresses: readonly string[]): Promise<string[]> {
  const words = new Map(await kernel.typed<number, bigint>(lbFilterMap.name).entries());
  return addresses.filter((address) => {
    const bit = lbFilterBit(address);
    return ((words.get(bit >>> 6) ?? 0n) >> BigInt(bit & 63)) & 1n;
  });
}

test("packets pass by addresses without frontends, and by none that has one", async (t) => {
  const { kernel, services } = await pruned(await fresh(t));
  const [one, other] = ["10.96.0.1", "10.96.0.2"];
  t.deepEqual(await passedBy(kernel, one, other), [one, other]);
  await services.upsert(service("a", one, []));
  await services.upsert({ ...service("b", one, ["10.0.1.2"]), port: 443 });
  t.deepEqual(await passedBy(kernel, one, other), [other]);
  await services.delete("a");
  t.deepEqual(await passedBy(kernel, one), []);
  await services.upsert({ ...service("b", one, ["10.0.1.3"]), port: 443, externalIps: [other] });
  t.deepEqual(await passedBy(kernel, one, other), []);
  await services.delete("b");
  t.deepEqual(await passedBy(kernel, one, other), [one, other]);
  t.deepEqual([...hiddenFrontends(kernel.journal)], []);
});

test("a frontend is found although the filter, or the map of services, could not be written at first", async (t) => {
  const { kernel, services } = await pruned(await fresh(t));
  for (const [at, map] of [lbFilterMap.name, servicesMap].entries()) {
    const [name, ip] = [`web-${at}`, `10.96.0.${at + 1}`];
    kernel.map(map).fail = new Error("ENOMEM");
    await t.throwsAsync(services.upsert(service(name, ip, ["10.0.1.2"])));
    t.is((await kernel.print(servicesMap)).filter((line) => line.startsWith(`${ip}:`)).length, 0);
    kernel.map(map).fail = undefined;
    await services.upsert(service(name, ip, ["10.0.1.2", "10.0.1.3"]));
    t.deepEqual(await passedBy(kernel, ip), []);

    kernel.map(map).fail = new Error("ENOMEM");
    await t.throwsAsync(services.delete(name), undefined, map);
    kernel.map(map).fail = undefined;
    await services.upsert(service(name, ip, ["10.0.1.2"]));
    t.deepEqual(await passedBy(kernel, ip), []);
    await services.delete(name);
    t.deepEqual(await passedBy(kernel, ip), [ip]);
  }
  t.deepEqual([...hiddenFrontends(kernel.journal)], []);
});

test("nothing is passed by from an agent's start until it knows all frontends, whatever the one before has left", async (t) => {
  const stateDir = await scratchDirectory(t);
  const kernel = new MemoryKernel();
  const [kept, gone, free] = ["10.96.0.1", "10.96.0.2", "10.96.0.3"];
  const before = await pruned(await started(t, kernel, stateDir));
  await before.services.upsertMany([service("kept", kept, []), service("gone", gone, [])]);
  await before.stop();
  // As of an agent that knew no filter.
  const everything = Buffer.alloc(8, 0xff);
  for (const word of await kernel.map(lbFilterMap.name).keys())
    kernel.map(lbFilterMap.name).update(word, everything);
  const crash = kernel.journal.length;
  const after = await pruned(await started(t, kernel, stateDir));
  t.deepEqual(await passedBy(kernel, kept, gone, free), [free]);
  await after.services.delete("gone");
  t.deepEqual(await passedBy(kernel, kept, gone, free), [gone, free]);
  const [first] = kernel.journal.slice(crash);
  t.deepEqual([first?.map, first?.value], [lbFilterMap.name, Buffer.alloc(8)]);
});

test("a service that is written again as it is changes nothing", async (t) => {
  const { kernel, services } = await fresh(t);
  await services.upsert(service("web", "10.96.0.1", ["10.0.1.2"]));
  const [revision, entries] = [services.table.revision, kernel.journal.length];
  await services.upsertMany([service("web", "10.96.0.1", ["10.0.1.2"])]);
  t.deepEqual([services.table.revision, kernel.journal.length], [revision, entries]);
});

test("services share backends, and a backend stays as long as one of them has it", async (t) => {
  const { kernel, services } = await fresh(t);
  await services.upsert(service("a", "10.96.0.1", ["10.0.1.2"]));
  await services.upsert(service("b", "10.96.0.2", ["10.0.1.2"]));
  t.is(kernel.map(backendsMap).content.size, 1);
  await services.delete("a");
  t.is(kernel.map(backendsMap).content.size, 1);
  await services.delete("b");
  t.is(kernel.map(backendsMap).content.size, 0);
  noLetDown(t, kernel);
});

test("a frontend belongs to one service, also while it is being stored", async (t) => {
  const { services } = await fresh(t);
  const results = await Promise.allSettled([
    services.upsert(service("a", "10.96.0.1", ["10.0.1.2"])),
    services.upsert(service("b", "10.96.0.1", ["10.0.1.3"])),
  ]);
  t.is(results[0]?.status, "fulfilled");
  const error = await refusal(services.upsert(service("c", "10.96.0.1", [])));
  t.is(error.kind, "ALREADY_EXISTS");
  t.is(error.message, 'service "c": 10.96.0.1:80/tcp belongs to service "a"');
  t.is(results[1]?.status, "rejected");
  await t.notThrowsAsync(services.upsert({ ...service("udp", "10.96.0.1", []), protocol: "udp" }));
});

test("a service can move, and another one can take its old frontend", async (t) => {
  const { kernel, services } = await fresh(t);
  await services.upsert(service("a", "10.96.0.1", ["10.0.1.2", "10.0.1.3", "10.0.1.4"]));
  const old = revNat(services, "a");
  await services.upsert(service("a", "10.96.0.9", ["10.0.1.2"]));
  t.not(revNat(services, "a"), old);
  await services.upsert(service("b", "10.96.0.1", ["10.0.1.5"]));
  await services.upsert(service("b", "10.96.0.7", ["10.0.1.5"]));
  const lines = (await kernel.print(servicesMap)).map((line) => line.split(" -> ")[0]).sort();
  t.deepEqual(lines, [
    "10.96.0.7:80/TCP",
    "10.96.0.7:80/TCP (1)",
    "10.96.0.9:80/TCP",
    "10.96.0.9:80/TCP (1)",
  ]);
  t.is(kernel.map(reverseNatMap).content.size, 2);
  noLetDown(t, kernel);
});

test("numbers and services survive a restart; stale entries of the kernel go", async (t) => {
  const stateDir = await scratchDirectory(t);
  const kernel = new MemoryKernel();
  const first = await started(t, kernel, stateDir);
  await first.services.upsert(service("gone", "10.96.0.9", ["10.0.1.9"]));
  await first.services.upsert(service("kept", "10.96.0.1", ["10.0.1.2", "10.0.1.3"]));
  await first.services.upsert(service("ghost", "10.96.0.8", ["10.0.1.8"]));
  const kept = revNat(first.services, "kept");
  const ghost = revNat(first.services, "ghost");
  await first.services.delete("gone");
  await first.stop();
  const before = (await kernel.print(servicesMap)).sort();

  // Entries of a service that the agent has forgotten, and a slot too many.
  const map = kernel.typed<LbKey, LbService>(servicesMap);
  map.update(
    { address: "10.96.0.1", port: 80, slot: 3, protocol: 6, scope: 0 },
    { backendId: 77, count: 0, revNatIndex: 2, flags: 0, flags2: 0, qcount: 0 },
  );
  map.update(
    { address: "10.96.9.9", port: 80, slot: 0, protocol: 6, scope: 0 },
    { backendId: 0, count: 0, revNatIndex: 99, flags: 0, flags2: 0, qcount: 0 },
  );
  const second = await started(t, kernel, stateDir);
  while ((await kernel.print(servicesMap)).length > before.length)
    await new Promise((done) => setTimeout(done, 5));
  t.deepEqual((await kernel.print(servicesMap)).sort(), before);
  t.is(revNat(second.services, "kept"), kept);
  await second.services.upsert(service("new", "10.96.0.2", ["10.0.1.99"]));
  t.true(revNat(second.services, "new")! > ghost!);
  t.is(second.services.backendId({ ip: "10.0.1.99", port: 8080 }, "tcp"), 5);
  await second.services.delete("kept");
  t.false((await kernel.print(servicesMap)).some((line) => line.startsWith("10.96.0.1")));
});

test("whatever happens in whatever order, no packet is let down and nothing is left behind", async (t) => {
  const node = await fresh(t);
  const { kernel, services } = node;
  let seed = 42;
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return (seed >> 12) % below;
  };
  const names = ["a", "b", "c", "d"];
  const anything = (name: string): WantedService => {
    const [vip, pod] = random(2) === 0 ? ["10.96.0.", "10.0.1."] : ["fd00:96::", "fd00::"];
    const addresses = new Set(Array.from({ length: random(6) }, () => `${pod}${2 + random(8)}`));
    return service(name, `${vip}${1 + random(5)}`, [], {
      backends: Array.from(addresses, (ip) => ({
        ip,
        port: 8080,
        state: (["active", "active", "terminating", "quarantined"] as const)[random(4)]!,
        node: "",
      })),
      algorithm: random(2) === 0 ? "maglev" : "random",
      affinityTimeoutS: random(2) * 60,
      nodePort: random(3) === 0 ? 30_000 + random(3) : 0,
      externalIps: random(3) === 0 ? [`${vip}${100 + random(3)}`] : [],
    });
  };
  for (let round = 0; round < 150; round += 1) {
    const work = Array.from({ length: 1 + random(4) }, async () => {
      const name = names[random(names.length)] ?? "a";
      const maps = Object.values(lbMaps);
      if (random(10) === 0) kernel.map(maps[random(maps.length)]!).fail = new Error("EBUSY");
      try {
        if (random(4) === 0) await services.delete(name);
        else await services.upsert(anything(name));
      } catch (error) {
        if (!(error instanceof RefusalError) && !(error instanceof ReconcileError)) throw error;
      }
    });
    await Promise.race([Promise.all(work), new Promise((resolve) => setTimeout(resolve, 10))]);
    for (const map of Object.values(lbMaps)) kernel.map(map).fail = undefined;
    await Promise.all(work);
  }
  for (const name of names) {
    if (services.table.has(name)) await services.delete(name);
  }
  // Deletions that failed are repeated after a while.
  for (let wait = 0; wait < 400 && node.entries > 0; wait += 1)
    await new Promise((resolve) => setTimeout(resolve, 10));
  t.is(node.entries, 0);
  noLetDown(t, kernel);
  t.true(kernel.journal.length > 500, `${kernel.journal.length} entries`);
});

test("every wrong field is named", async (t) => {
  const { services } = await fresh(t);
  const error = await refusal(
    services.upsert({
      ...service("Web!", "127.0.0.1", ["10.0.1.2", "10.0.1.2"]),
      port: 0,
      nodePort: 80,
    }),
  );
  t.deepEqual(
    error.violations.map(({ field }) => field),
    ["name", "ip", "port", "nodePort", "backends[1]"],
  );
});

test("what does not fit into the kernel's maps is refused before anything changes", async (t) => {
  const kernel = new MemoryKernel({ [servicesMap]: 4, [backendsMap]: 2 });
  const { services } = await started(t, kernel, await scratchDirectory(t));
  await services.upsert(service("a", "10.96.0.1", ["10.0.1.2", "10.0.1.3"]));
  t.regex(
    (await refusal(services.upsert(service("b", "10.96.0.2", ["10.0.1.2"])))).message,
    /services_v2 has room for 4/,
  );
  await services.upsert(service("a", "10.96.0.1", ["10.0.1.2"]));
  t.is(
    (await refusal(services.upsert(service("a", "10.96.0.1", ["10.0.1.4", "10.0.1.5"])))).kind,
    "RESOURCE_EXHAUSTED",
  );
  t.is(services.table.get("a")?.backends.length, 1);
});

test("30,000 services with 100,000 backends are stored and reach the kernel in batches", async (t) => {
  const kernel = new MemoryKernel({ [servicesMap]: 200_000, [backendsMap]: 200_000 });
  const stateDir = await scratchDirectory(t);
  const first = await started(t, kernel, stateDir);
  const all = Array.from({ length: 30_000 }, (_, i) =>
    service(
      `ns/svc-${i}`,
      `10.${96 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`,
      Array.from({ length: i % 3 === 0 ? 4 : 3 }, (_unused, k) => {
        const n = i * 4 + k;
        return `172.${16 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
      }),
    ),
  );
  const began = performance.now();
  for (let start = 0; start < all.length; start += 1000)
    await first.services.upsertMany(all.slice(start, start + 1000));
  t.log(`stored and in place after ${Math.round(performance.now() - began)} ms`);
  t.is(kernel.map(backendsMap).content.size, 100_000);
  t.is(kernel.map(servicesMap).content.size, 130_000);
  t.true(kernel.map(servicesMap).batches < 1000);
  await first.stop();
  const restarted = performance.now();
  const second = await started(t, kernel, stateDir);
  t.is(second.services.table.size, 30_000);
  t.log(`restarted after ${Math.round(performance.now() - restarted)} ms`);
});
