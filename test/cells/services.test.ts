import test, { type ExecutionContext } from "ava";
import { DatapathToken, GlobalMapsToken } from "../../src/cells/datapath/index.ts";
import { RefusalError } from "../../src/cells/errors.ts";
import { kvstoreCell } from "../../src/cells/kvstore/index.ts";
import { NodeNetworking, NodeSettings } from "../../src/cells/node-config/index.ts";
import { nodeFlags } from "../../src/cells/node-config/settings.ts";
import { type ServiceManager, Services, servicesCell } from "../../src/cells/services/index.ts";
import { stateCell } from "../../src/cells/state/index.ts";
import { type Lb4Key, type Lb4Service, lb4ServicesMap } from "../../src/datapath/maps/index.ts";
import { config, Hive, invoke, silentLogger, supply } from "../../src/hive/index.ts";
import { ReconcileError } from "../../src/table/index.ts";
import { type Entry, MemoryKernel, nodeNetwork, scratchDirectory, wantedService } from "./support.ts";

const servicesMap = "cilium_lb4_services_v2";
const backendsMap = "cilium_lb4_backends_v2";
const reverseNatMap = "cilium_lb4_reverse_nat";

function hiveOf(kernel: MemoryKernel, stateDir: string): Hive {
  return new Hive({
    name: "services-test",
    logger: silentLogger,
    cells: [
      stateCell,
      config(NodeSettings, nodeFlags),
      kvstoreCell,
      supply(GlobalMapsToken, kernel.globalMaps()),
      supply(DatapathToken, kernel.datapath()),
      supply(NodeNetworking, nodeNetwork()),
      servicesCell,
      invoke({ services: Services }, () => undefined),
    ],
    settings: { flags: { "state-dir": stateDir } },
  });
}

interface Running {
  readonly kernel: MemoryKernel;
  readonly services: ServiceManager;
  stop(): Promise<void>;
}

async function started(t: ExecutionContext, kernel: MemoryKernel, stateDir: string): Promise<Running> {
  const hive = hiveOf(kernel, stateDir);
  await hive.start();
  t.teardown(() => hive.stop());
  return { kernel, services: hive.get(Services), stop: () => hive.stop() };
}

const fresh = async (t: ExecutionContext): Promise<Running> =>
  started(t, new MemoryKernel(), await scratchDirectory(t));

const service = wantedService;

/** The index of a service's cluster IP. */
const revNat = (services: ServiceManager, name: string): number | undefined =>
  services.table.get(name)?.frontends[0]?.revNat;

async function refusal(promise: Promise<unknown>): Promise<RefusalError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof RefusalError) return error;
    throw error;
  }
  throw new Error("not refused");
}

/**
 * Replays a journal and says at which entry a packet could have been let down. A packet may be at any point of a
 * program, so whatever slot 0, a slot or a backend it has seen since the last grace period must still lead on.
 */
function* letDowns(journal: readonly Entry[]): Generator<string> {
  const slots = new Map<string, Lb4Service>();
  const ids = new Set<number>();
  const revNats = new Set<number>();
  /** What packets under way may have read: slots they will look for, backends and reverse-NAT entries. */
  let seen = { slots: new Set<string>(), backends: new Set<number>(), revNats: new Set<number>() };
  const text = ({ address, port, slot, protocol }: Lb4Key): string =>
    `${address}:${port}/${protocol}#${slot}`;
  const look = (): void => {
    for (const [key, value] of slots) {
      const [frontend = "", slot] = key.split("#");
      if (slot !== "0") continue;
      seen.revNats.add(value.revNatIndex);
      for (let i = 1; i <= value.count; i += 1) {
        seen.slots.add(`${frontend}#${i}`);
        const backend = slots.get(`${frontend}#${i}`)?.backendId;
        if (backend !== undefined) seen.backends.add(backend);
      }
    }
  };
  for (const [at, { map, what, key, value }] of journal.entries()) {
    if (what === "quiesce") seen = { slots: new Set(), backends: new Set(), revNats: new Set() };
    else if (map === backendsMap) {
      if (what === "update") ids.add(key.readUInt32LE());
      else ids.delete(key.readUInt32LE());
    } else if (map === reverseNatMap) {
      if (what === "update") revNats.add(key.readUInt16LE());
      else revNats.delete(key.readUInt16LE());
    } else if (map === servicesMap) {
      const slot = text(lb4ServicesMap.key.decode(key, 0));
      if (value === undefined) slots.delete(slot);
      else slots.set(slot, lb4ServicesMap.value.decode(value, 0));
    }
    look();
    for (const slot of seen.slots) if (!slots.has(slot)) yield `entry ${at}: no slot ${slot}`;
    for (const id of seen.backends) if (!ids.has(id)) yield `entry ${at}: no backend ${id}`;
    for (const index of seen.revNats) if (!revNats.has(index)) yield `entry ${at}: no reverse NAT ${index}`;
  }
}

const noLetDown = (t: ExecutionContext, kernel: MemoryKernel): boolean =>
  t.deepEqual([...letDowns(kernel.journal)].slice(0, 5), []);

test("the wiring is complete", (t) => {
  t.notThrows(() => hiveOf(new MemoryKernel(), "/nonexistent").populate());
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
  const map = kernel.typed<Lb4Key, Lb4Service>(servicesMap);
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
  const { kernel, services } = await fresh(t);
  let seed = 42;
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return (seed >> 12) % below;
  };
  const names = ["a", "b", "c", "d"];
  for (let round = 0; round < 150; round += 1) {
    const work = Array.from({ length: 1 + random(4) }, async () => {
      const name = names[random(names.length)] ?? "a";
      const failing = random(10) === 0;
      if (failing) kernel.map(random(2) === 0 ? servicesMap : backendsMap).fail = new Error("EBUSY");
      const backends = new Set(Array.from({ length: random(6) }, () => `10.0.1.${2 + random(8)}`));
      try {
        if (random(4) === 0) await services.delete(name);
        else await services.upsert(service(name, `10.96.0.${1 + random(5)}`, [...backends]));
      } catch (error) {
        if (!(error instanceof RefusalError) && !(error instanceof ReconcileError)) throw error;
      }
    });
    await Promise.race([Promise.all(work), new Promise((resolve) => setTimeout(resolve, 10))]);
    for (const map of [servicesMap, backendsMap]) kernel.map(map).fail = undefined;
    await Promise.all(work);
  }
  for (const name of names) {
    if (services.table.has(name)) await services.delete(name);
  }
  const left = (): number =>
    [servicesMap, backendsMap, reverseNatMap].reduce((sum, map) => sum + kernel.map(map).content.size, 0);
  // Deletions that failed are repeated after a while.
  for (let wait = 0; wait < 400 && left() > 0; wait += 1)
    await new Promise((resolve) => setTimeout(resolve, 10));
  t.is(left(), 0);
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
  await Promise.all(all.map((each) => first.services.upsert(each)));
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
