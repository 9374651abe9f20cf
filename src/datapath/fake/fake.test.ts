import { join } from "node:path";
import { fileURLToPath } from "node:url";
import test from "ava";
import { CompileError, type DatapathError, MapLayoutError } from "../errors.ts";
import { checkLayouts, encode, globalMapSpecs, ipcacheMap, lxcMap, mapSpecs } from "../maps/index.ts";
import { type MapSpec, MapType, type Program } from "../types.ts";
import { createFakeDatapath, type FakeDatapath, type FakeKernel } from "./index.ts";

const BPF = fileURLToPath(new URL("../../../bpf", import.meta.url));
const HASH: MapSpec = { name: "hash", type: MapType.hash, keySize: 4, valueSize: 4, maxEntries: 2 };
const ARRAY: MapSpec = { ...HASH, name: "array", type: MapType.array };
const PROGS: MapSpec = { ...HASH, name: "progs", type: MapType.progArray };

function word(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}

const SOURCES = {
  "/src/a.c": `
    #include <linux/bpf.h>
    const volatile __u32 cfg_answer SEC(".rodata.config") = 0;
    struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 2);
             __type(key, __u32); __type(value, __u32); } hash SEC(".maps");
    SEC("tc") int first(struct __sk_buff *ctx) { return 0; }
    SEC("tc") int second(struct __sk_buff *ctx) { return 0; }
  `,
};

function fake(kernel?: FakeKernel): FakeDatapath {
  return createFakeDatapath({ sources: SOURCES, ...(kernel === undefined ? {} : { kernel }) });
}

async function programOf(datapath: FakeDatapath, name = "first"): Promise<Program> {
  const { object } = await datapath.compiler.compile({ source: "/src/a.c", includes: [], defines: {} });
  const collection = datapath.bpf.load({ object, programs: [name] });
  for (const map of collection.maps.values()) map.close();
  return collection.programs.get(name)!;
}

test("a hash refuses the entry that is too many, and keeps to update modes", (t) => {
  const map = fake().bpf.createMap(HASH);
  map.update(word(1), word(10), "noexist");
  map.update(word(2), word(20));
  t.is(t.throws<DatapathError>(() => map.update(word(3), word(30)))?.errnoName, "E2BIG");
  t.is(t.throws<DatapathError>(() => map.update(word(1), word(30), "noexist"))?.errnoName, "EEXIST");
  t.is(t.throws<DatapathError>(() => map.update(word(9), word(30), "exist"))?.errnoName, "ENOENT");
  t.deepEqual(map.lookup(word(1)), word(10));
  t.true(map.delete(word(1)));
  t.false(map.delete(word(1)));
  t.throws(() => map.update(Buffer.alloc(3), word(1)), { message: /3 bytes, want 4/ });
});

test("an LRU hash gives up the oldest entry, an array has all of its entries from the start", async (t) => {
  const { bpf } = fake();
  const lru = bpf.createMap({ ...HASH, type: MapType.lruHash });
  for (const key of [1, 2, 1, 3]) lru.update(word(key), word(key));
  t.is(lru.lookup(word(2)), undefined);
  t.deepEqual(lru.lookup(word(1)), word(1));
  const array = bpf.createMap(ARRAY);
  t.deepEqual(array.lookup(word(1)), word(0));
  t.is(array.lookup(word(2)), undefined);
  t.is(t.throws<DatapathError>(() => array.update(word(2), word(0)))?.errnoName, "E2BIG");
  t.is(t.throws<DatapathError>(() => array.delete(word(1)))?.errnoName, "EINVAL");
  t.is((await array.entries()).length, 2);
});

test("a prefix tree finds the longest match", async (t) => {
  const { bpf } = fake();
  const ipcache = bpf.typed(bpf.createMap({ ...ipcacheMap, maxEntries: 2 }), ipcacheMap);
  const info = (identity: number) => ({ identity, tunnelEndpoint: "0.0.0.0", encryptKey: 0, flags: 0 });
  await ipcache.updateBatch([
    [{ prefix: "0.0.0.0/0" }, info(2)],
    [{ prefix: "10.0.0.0/8" }, info(300)],
  ]);
  t.is(ipcache.lookup({ prefix: "10.1.2.3/32" })?.identity, 300);
  t.is(ipcache.lookup({ prefix: "11.1.2.3/32" })?.identity, 2);
  t.is(t.throws<DatapathError>(() => ipcache.update({ prefix: "1.0.0.0/8" }, info(1)))?.errnoName, "ENOSPC");
  t.true(ipcache.delete({ prefix: "10.0.0.0/8" }));
  t.is(ipcache.lookup({ prefix: "10.1.2.3/32" })?.identity, 2);
  t.throws(() => bpf.createMap({ ...ipcacheMap, flags: 0 }), { message: /EINVAL/ });
});

test("a per-CPU map has a value for each CPU", (t) => {
  const { bpf } = createFakeDatapath({ cpus: 3 });
  const map = bpf.createMap({ ...HASH, type: MapType.percpuHash });
  map.update(word(1), Buffer.alloc(24, 1));
  t.is(map.lookup(word(1))?.length, 24);
});

test("pins survive a restart, handles do not", async (t) => {
  const before = fake();
  before.bpf.ensureBpffs("/bpf");
  before.bpf.makePinDirectory("/bpf/globals");
  const map = before.bpf.ensurePinnedMap(HASH, "/bpf/globals/hash");
  map.update(word(1), word(7));
  const temporary = before.bpf.createMap(ARRAY);
  before.close();
  t.throws(() => map.lookup(word(1)), { message: /closed/ });
  t.throws(() => temporary.lookup(word(1)), { message: /closed/ });

  const after = fake(before.kernel);
  t.false(after.bpf.ensureBpffs("/bpf"));
  t.deepEqual(after.bpf.openPinnedMap("/bpf/globals/hash")?.lookup(word(1)), word(7));
  t.deepEqual(
    after.kernel.maps.map((m) => m.spec.name),
    ["hash"],
  );
  t.throws(() => after.bpf.ensurePinnedMap({ ...HASH, valueSize: 8 }, "/bpf/globals/hash"), {
    instanceOf: MapLayoutError,
  });
  t.deepEqual(after.bpf.listPins("/bpf/globals"), ["hash"]);
  t.throws(() => after.bpf.unpin("/bpf/globals"), { message: /ENOTEMPTY/ });
  after.bpf.unpin("/bpf/globals", true);
  t.deepEqual(after.bpf.listPins("/bpf"), []);
  after.close();
  t.deepEqual(after.kernel.maps, []);
});

test("pins need a mounted bpffs and a directory", (t) => {
  const { bpf } = fake();
  const map = bpf.createMap(HASH);
  t.is(t.throws<DatapathError>(() => map.pin("/bpf/x"))?.errnoName, "ENOENT");
  bpf.makePinDirectory("/bpf");
  t.is(t.throws<DatapathError>(() => map.pin("/bpf/x"))?.errnoName, "EPERM");
  t.true(bpf.ensureBpffs("/bpf"));
  map.pin("/bpf/x");
  t.is(t.throws<DatapathError>(() => map.pin("/bpf/x"))?.errnoName, "EEXIST");
  t.throws(() => bpf.openPinnedProgram("/bpf/x"), { message: /it is a map/ });
});

test("loading checks programs, constants and maps", async (t) => {
  const datapath = fake();
  const { bpf, compiler } = datapath;
  const { object } = await compiler.compile({ source: "/src/a.c", includes: [], defines: {} });
  t.throws(() => bpf.load({ object, programs: ["third"] }), { message: /no program third.*first, second/ });
  const without = bpf.load({ object, programs: ["first", "second"], skipPrograms: ["second", "third"] });
  t.deepEqual([...without.programs.keys()], ["first"]);
  without.close();
  t.throws(() => bpf.load({ object, constants: { cfg_none: 1 } }), { message: /cfg_none.*no such/ });
  t.throws(() => bpf.load({ object, constants: { cfg_answer: 2 ** 32 } }), {
    message: /does not fit 4 bytes/,
  });
  const wrong = bpf.createMap({ ...HASH, valueSize: 8 });
  t.throws(() => bpf.load({ object, maps: { hash: wrong } }), { instanceOf: MapLayoutError });

  const larger = bpf.createMap({ ...HASH, maxEntries: 9 });
  const collection = bpf.load({ object, maps: { hash: larger }, constants: { cfg_answer: 42 } });
  t.deepEqual([...collection.programs.keys()], ["first", "second"]);
  t.deepEqual([...collection.maps.keys()], []);
  t.deepEqual(collection.programs.get("first")?.info().mapIds, [larger.info.id]);
  t.deepEqual(datapath.kernel.programs[0]?.source.constants.get("cfg_answer"), word(42));
  collection.close();
  t.deepEqual(datapath.kernel.programs, []);
});

test("a program lives as long as a slot, a pin or an attachment holds it", async (t) => {
  const datapath = fake();
  const { bpf, net } = datapath;
  const program = await programOf(datapath);
  const array = bpf.createMap(PROGS);
  bpf.setProgram(array, 1, program);
  program.close();
  t.deepEqual([...bpf.programIds(array)], [[1, program.id]]);
  t.is(bpf.programById(program.id)?.name, "first");
  datapath.close();
  t.deepEqual(datapath.kernel.programs, [], "the array's last user is gone");

  const next = fake(datapath.kernel);
  const other = await programOf(next, "second");
  next.bpf.ensureBpffs("/bpf");
  const { ifindex } = (await net.linkByName("eth0"))!;
  const spec = { ifindex, direction: "ingress", mode: "tcx", pinPath: "/bpf/link" } as const;
  next.bpf.attach(spec, other);
  next.close();
  t.deepEqual(
    datapath.kernel.links.map((link) => link.program.source.name),
    ["second"],
  );
  const last = fake(datapath.kernel);
  const attachment = last.bpf.openAttachment(spec)!;
  t.is(attachment.programId(), other.id);
  attachment.update(await programOf(last));
  t.not(attachment.programId(), other.id);
  attachment.detach();
  t.is(last.bpf.openAttachment(spec), undefined);
  t.deepEqual(last.bpf.listPins("/bpf"), []);
});

test("attaching needs the interface, and ends with it", async (t) => {
  const datapath = fake();
  const { bpf, net, kernel } = datapath;
  const program = await programOf(datapath);
  const { host } = await net.createVeth({ name: "lxc1", peerName: "tmp1", mtu: 1500 });
  for (const mode of ["tcx", "clsact"] as const) {
    bpf.ensureBpffs("/bpf");
    const spec = { ifindex: host.ifindex, direction: "egress", mode, pinPath: `/bpf/${mode}` } as const;
    const absent = { ...spec, ifindex: 99 };
    t.is(t.throws<DatapathError>(() => bpf.attach(absent, program))?.errnoName, "ENODEV");
    bpf.attach(spec, program).close();
    const again = bpf.attach(spec, program);
    t.is(again.programId(), program.id);
  }
  t.is(kernel.links.length, 2);
  await net.deleteLink(host.ifindex);
  t.deepEqual(kernel.links, []);
  t.is(
    bpf.openAttachment({ ifindex: host.ifindex, direction: "egress", mode: "clsact", pinPath: "" }),
    undefined,
  );
});

test("failures come when asked for, as often and for what was said", async (t) => {
  const { bpf, net, compiler, kernel } = fake();
  kernel.failNext("createMap", "EPERM", { object: "array" });
  bpf.createMap(HASH);
  t.is(t.throws<DatapathError>(() => bpf.createMap(ARRAY))?.errnoName, "EPERM");
  bpf.createMap(ARRAY);
  kernel.failNext("setLink", "EBUSY", { times: 2 });
  for (let i = 0; i < 2; i++) await t.throwsAsync(net.setLink(1, { up: true }), { message: /EBUSY/ });
  await net.setLink(1, { up: true });
  kernel.failNext("compile", new CompileError({ source: "/src/a.c", output: "no", diagnostics: [] }));
  await t.throwsAsync(compiler.compile({ source: "/src/a.c", includes: [], defines: {} }), {
    instanceOf: CompileError,
  });
});

test("notifications reach readers until they close", (t) => {
  const { bpf, kernel } = fake();
  const events = bpf.createMap({ ...HASH, name: "cilium_events", type: MapType.perfEventArray });
  const seen: (string | number)[] = [];
  const reader = bpf.readPerfEvents(
    events,
    (data, cpu) => seen.push(`${data.toString()}@${cpu}`),
    (count) => seen.push(count),
  );
  kernel.sendEvent("cilium_events", Buffer.from("drop"), 1);
  kernel.loseEvents("cilium_events", 3);
  reader.close();
  kernel.sendEvent("cilium_events", Buffer.from("late"));
  t.deepEqual(seen, ["drop@1", 3]);
});

test("the datapath's own sources compile, fit the codecs, and load with the shared maps", async (t) => {
  const { bpf, compiler } = createFakeDatapath();
  const includes = [join(BPF, "include"), join(BPF, "lib"), BPF];
  const lxc = await compiler.compile({ source: join(BPF, "bpf_lxc.c"), includes, defines: {} });
  const description = bpf.describeObject(lxc.object);
  t.notThrows(() => checkLayouts(description, mapSpecs.values()));
  t.is(description.struct("endpoint_info")?.size, 48);
  t.is(description.struct("endpoint_config")?.size, 64);
  bpf.ensureBpffs("/bpf");
  const maps = Object.fromEntries(
    globalMapSpecs({ cpus: bpf.cpus }).map((spec) => [
      spec.name,
      bpf.ensurePinnedMap(spec, `/bpf/${spec.name}`),
    ]),
  );
  const collection = bpf.load({ object: lxc.object, maps, constants: { cfg_host_ifindex: 12 } });
  t.true(collection.programs.has("cil_from_container"));
  t.deepEqual([...collection.maps.keys()].sort(), [
    "cilium_calls",
    "cilium_policy",
    "waggle_scratch",
    "wg_encap_routes",
    "wg_hints_address",
    "wg_hints_device",
    "wg_memo_ipcache",
  ]);
  t.true((await compiler.compile({ source: join(BPF, "bpf_lxc.c"), includes, defines: {} })).cached);
});

test("an in-tree plugin compiles to its hook, chain and counters; an unknown hook point does not", async (t) => {
  const include = join(BPF, "include");
  const { bpf, compiler } = createFakeDatapath({
    sources: { "/p/hooks/lxc.c": "#include <waggle/plugin.h>\nHOOK(nowhere_v4) { return HOOK_NEXT; }" },
  });
  const plugin = join(BPF, "plugins/packet-counter/hooks/lxc.c");
  const { object } = await compiler.compile({ source: plugin, includes: [include], defines: {} });
  const description = bpf.describeObject(object);
  const [hook] = description.programs;
  t.truthy(hook);
  t.truthy(description.constants.find((constant) => constant.name === `cfg_pos_${hook?.name}`));
  t.truthy(description.maps.find((map) => map.name === `wg_chain_${hook?.name}`));
  await t.throwsAsync(compiler.compile({ source: "/p/hooks/lxc.c", includes: [include], defines: {} }), {
    message: /HOOK\(nowhere_v4\): no such hook point/,
  });
});

test("keys of typed maps round-trip through a fake map", async (t) => {
  const { bpf } = fake();
  const map = bpf.typed(bpf.createMap(lxcMap), lxcMap);
  const entry = {
    ifindex: 3,
    lxcId: 12,
    flags: 0,
    mac: "02:00:00:00:00:01",
    nodeMac: "02:00:00:00:00:02",
    secId: 300,
    parentIfindex: 0,
  };
  map.update({ address: "10.0.1.5" }, entry);
  t.deepEqual(await map.entries(), [[{ address: "10.0.1.5" }, entry]]);
  t.is(encode(lxcMap.key, { address: "10.0.1.5" }).length, 20);
});
