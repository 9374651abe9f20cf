import test, { type ExecutionContext } from "ava";
import { GlobalMapsToken } from "../../src/cells/datapath/index.ts";
import { RefusalError } from "../../src/cells/errors.ts";
import { type IpCache, type IpCacheEntry, IpCaches, ipcacheCell } from "../../src/cells/ipcache/index.ts";
import { NodeNetworking } from "../../src/cells/node-config/index.ts";
import { stateCell } from "../../src/cells/state/index.ts";
import type { IpCacheKey, RemoteEndpointInfo } from "../../src/datapath/maps/index.ts";
import { Hive, invoke, silentLogger, supply } from "../../src/hive/index.ts";
import { ReconcileError } from "../../src/table/index.ts";
import { MemoryKernel, nodeNetwork, scratchDirectory } from "./support.ts";

function hiveOf(kernel: MemoryKernel, stateDir: string): Hive {
  return new Hive({
    name: "ipcache-test",
    logger: silentLogger,
    cells: [
      stateCell,
      supply(GlobalMapsToken, kernel.globalMaps()),
      supply(NodeNetworking, nodeNetwork()),
      ipcacheCell,
      invoke({ cache: IpCaches }, () => undefined),
    ],
    settings: { flags: { "state-dir": stateDir } },
  });
}

interface Running {
  readonly kernel: MemoryKernel;
  readonly cache: IpCache;
  stop(): Promise<void>;
}

async function started(t: ExecutionContext, kernel: MemoryKernel, stateDir: string): Promise<Running> {
  const hive = hiveOf(kernel, stateDir);
  await hive.start();
  t.teardown(() => hive.stop());
  return { kernel, cache: hive.get(IpCaches), stop: () => hive.stop() };
}

const fresh = async (t: ExecutionContext): Promise<Running> =>
  started(t, new MemoryKernel(), await scratchDirectory(t));

const entry = (prefix: string, identity: number): Omit<IpCacheEntry, "source"> => ({
  prefix,
  identity,
  tunnelEndpoint: "0.0.0.0",
  encryptKey: 0,
});

async function refusal(promise: Promise<unknown>): Promise<RefusalError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof RefusalError) return error;
    throw error;
  }
  throw new Error("not refused");
}

test("the wiring is complete", (t) => {
  t.notThrows(() => hiveOf(new MemoryKernel(), "/nonexistent").populate());
});

test("at start the kernel gets the world, the pod CIDR, the node's addresses and nothing else", async (t) => {
  const { kernel, cache } = await fresh(t);
  await cache.reconciler.waitReconciled(cache.table.revision);
  t.deepEqual((await kernel.print("cilium_ipcache")).sort(), [
    "0.0.0.0/0 -> identity=2 encryptkey=0 tunnelendpoint=0.0.0.0",
    "10.0.1.0/24 -> identity=3 encryptkey=0 tunnelendpoint=0.0.0.0",
    "10.0.1.1/32 -> identity=1 encryptkey=0 tunnelendpoint=0.0.0.0",
    "192.0.2.10/32 -> identity=1 encryptkey=0 tunnelendpoint=0.0.0.0",
  ]);
  t.is(cache.lookup("8.8.8.8")?.identity, 2);
});

test("an entry of the API is in the kernel when the call returns, in canonical form", async (t) => {
  const { kernel, cache } = await fresh(t);
  const added = await cache.apiUpsert({
    ...entry("10.9.0.7/16", 1000),
    tunnelEndpoint: "192.0.2.99",
    encryptKey: 3,
  });
  t.is(added.prefix, "10.9.0.0/16");
  t.true(
    (await kernel.print("cilium_ipcache")).includes(
      "10.9.0.0/16 -> identity=1000 encryptkey=3 tunnelendpoint=192.0.2.99",
    ),
  );
  t.is(cache.lookup("10.9.200.1")?.identity, 1000);
  await cache.apiDelete("10.9.0.0/16");
  t.false((await kernel.print("cilium_ipcache")).some((line) => line.startsWith("10.9.0.0/16")));
  t.is((await refusal(cache.apiDelete("10.9.0.0/16"))).kind, "NOT_FOUND");
});

test("entries of the API survive a restart; what the kernel has of others is removed", async (t) => {
  const stateDir = await scratchDirectory(t);
  const kernel = new MemoryKernel();
  const first = await started(t, kernel, stateDir);
  await first.cache.apiUpsert(entry("10.9.0.0/16", 1000));
  await first.cache.reconciler.waitReconciled(
    first.cache.upsert({ ...entry("10.0.1.50/32", 300), source: "endpoint" }),
  );
  await first.stop();
  t.is(kernel.map("cilium_ipcache").content.size, 6);

  const second = await started(t, kernel, stateDir);
  await second.cache.reconciler.prune();
  const lines = await kernel.print("cilium_ipcache");
  t.true(lines.some((line) => line.startsWith("10.9.0.0/16")));
  t.false(lines.some((line) => line.startsWith("10.0.1.50/32")));
});

test("nothing is pruned before every announced source has brought back its entries", async (t) => {
  const stateDir = await scratchDirectory(t);
  const kernel = new MemoryKernel();
  const first = await started(t, kernel, stateDir);
  const pod = { ...entry("10.0.1.50/32", 300), source: "endpoint" as const };
  await first.cache.reconciler.waitReconciled(first.cache.upsert(pod));
  await first.stop();

  const hive = hiveOf(kernel, stateDir);
  t.teardown(() => hive.stop());
  hive.populate();
  const cache = hive.get(IpCaches);
  const restored = cache.registerInitializer("endpoints");
  await hive.start();
  await cache.reconciler.waitReconciled(cache.table.revision);
  const pruned = cache.reconciler.prune();
  t.true((await kernel.print("cilium_ipcache")).some((line) => line.startsWith("10.0.1.50/32")));
  cache.upsert(pod);
  restored();
  await pruned;
  t.true((await kernel.print("cilium_ipcache")).some((line) => line.startsWith("10.0.1.50/32")));
});

test("a stronger source shadows a weaker one, which shows again when it goes", async (t) => {
  const { cache } = await fresh(t);
  await cache.apiUpsert(entry("10.0.1.50/32", 1000));
  cache.upsert({ ...entry("10.0.1.50", 300), source: "endpoint" });
  t.is(cache.lookup("10.0.1.50")?.identity, 300);
  t.is(cache.remove("10.0.1.50/32", "node"), undefined);
  t.is(cache.remove("10.0.1.50/32", "endpoint")?.identity, 300);
  t.is(cache.lookup("10.0.1.50")?.identity, 1000);
});

test("the API cannot hide an endpoint, the node or what is reserved", async (t) => {
  const { cache } = await fresh(t);
  cache.upsert({ ...entry("10.0.1.50/32", 300), source: "endpoint" });
  for (const [prefix, words] of [
    ["10.0.1.50", /belongs to an endpoint/],
    ["10.0.1.1/32", /is the node's own/],
    ["0.0.0.0/0", /is reserved/],
  ] as const) {
    const error = await refusal(cache.apiUpsert(entry(prefix, 1000)));
    t.is(error.kind, "FAILED_PRECONDITION");
    t.regex(error.message, words);
  }
});

test("every wrong field of an entry is named", async (t) => {
  const { cache } = await fresh(t);
  const error = await refusal(
    cache.apiUpsert({ prefix: "10.0.0.0/33", identity: 2 ** 24, tunnelEndpoint: "fd00::1", encryptKey: 256 }),
  );
  t.is(error.kind, "INVALID_ARGUMENT");
  t.deepEqual(
    error.violations.map(({ field }) => field),
    ["prefix", "identity", "tunnel_endpoint", "encrypt_key"],
  );
  for (const prefix of [
    "",
    "10.0.0",
    "fd00::/129",
    "fe80::1%eth0",
    "10.0.0.0/",
    "10.0.0.0/-1",
    "10.0.0.0/8/8",
  ]) {
    t.is((await refusal(cache.apiUpsert(entry(prefix, 1000)))).violations[0]?.field, "prefix", prefix);
  }
});

test("prefixes of IPv6 are written as short as they can be, and found by their addresses", async (t) => {
  const { cache, kernel } = await fresh(t);
  const { prefix } = await cache.apiUpsert(entry("FD00:0:0:1::7/64", 1000));
  t.is(prefix, "fd00:0:0:1::/64");
  t.is(cache.lookup("fd00:0:0:1:ffff::9")?.identity, 1000);
  t.is(cache.lookup("fd00::1"), undefined);
  t.true(
    (await kernel.print("cilium_ipcache")).some((line) =>
      line.startsWith("fd00:0:0:1::/64 -> identity=1000"),
    ),
  );
});

/** Whether programs have been told to forget what they remember since the map's last change. */
const isTold = ({ journal }: MemoryKernel): boolean =>
  journal.findLastIndex(({ map }) => map === "waggle_epochs") >
  journal.findLastIndex(({ map }) => map === "cilium_ipcache");

test("programs are told to forget what they remember before a change is acknowledged", async (t) => {
  const stateDir = await scratchDirectory(t);
  const kernel = new MemoryKernel();
  const { cache, stop } = await started(t, kernel, stateDir);
  await cache.reconciler.waitReconciled(cache.table.revision);
  t.true(isTold(kernel));
  for (const identity of [1000, 1001]) {
    await cache.apiUpsert(entry("10.9.0.0/16", identity));
    t.true(isTold(kernel), `identity ${identity}`);
  }
  await cache.apiDelete("10.9.0.0/16");
  t.true(isTold(kernel));

  kernel.map("cilium_ipcache").fail = new Error("ENOMEM");
  const before = kernel.journal.length;
  await t.throwsAsync(cache.apiUpsert(entry("10.9.0.0/16", 1000)));
  t.true(
    kernel.journal.slice(before).some(({ map }) => map === "waggle_epochs"),
    "some of a change that failed may be there",
  );
  kernel.map("cilium_ipcache").fail = undefined;
  await stop();

  kernel
    .typed<IpCacheKey, RemoteEndpointInfo>("cilium_ipcache")
    .update(
      { prefix: "10.7.0.0/16" },
      { identity: 1000, tunnelEndpoint: "0.0.0.0", encryptKey: 0, flags: 0 },
    );
  t.false(isTold(kernel));
  await started(t, kernel, stateDir);
  t.true(isTold(kernel), "the one before may have died between the change and saying so");
  while ((await kernel.print("cilium_ipcache")).some((line) => line.startsWith("10.7.0.0/16")))
    await new Promise((resolve) => setTimeout(resolve, 5));
  t.true(isTold(kernel), "what nobody wants any more");
});

test("a map without room refuses the API before anything is stored", async (t) => {
  const stateDir = await scratchDirectory(t);
  const { cache } = await started(t, new MemoryKernel({ cilium_ipcache: 5 }), stateDir);
  await cache.apiUpsert(entry("10.9.0.0/16", 1000));
  t.is((await refusal(cache.apiUpsert(entry("10.8.0.0/16", 1000)))).kind, "RESOURCE_EXHAUSTED");
  await t.notThrowsAsync(cache.apiUpsert(entry("10.9.0.0/16", 1001)));
});

test("a kernel that refuses is reported, and served as soon as it accepts", async (t) => {
  const { kernel, cache } = await fresh(t);
  await cache.reconciler.waitReconciled(cache.table.revision);
  kernel.map("cilium_ipcache").fail = new Error("ENOMEM");
  await t.throwsAsync(cache.apiUpsert(entry("10.9.0.0/16", 1000)), { instanceOf: ReconcileError });
  kernel.map("cilium_ipcache").fail = undefined;
  while (cache.reconciler.status("10.9.0.0/16")?.kind !== "done") {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  t.true((await kernel.print("cilium_ipcache")).some((line) => line.startsWith("10.9.0.0/16")));
});

test("100,000 prefixes reach the kernel in batches", async (t) => {
  const { kernel, cache } = await fresh(t);
  const many = Array.from({ length: 100_000 }, (_, i) => ({
    ...entry(`10.${100 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}/32`, 1000 + (i % 7)),
    source: "endpoint" as const,
  }));
  const began = performance.now();
  await cache.reconciler.waitReconciled(cache.upsertMany(many));
  t.log(`${Math.round(performance.now() - began)} ms, ${kernel.map("cilium_ipcache").batches} batches`);
  t.is(kernel.map("cilium_ipcache").content.size, 100_004);
  t.true(kernel.map("cilium_ipcache").batches < 100);
});
