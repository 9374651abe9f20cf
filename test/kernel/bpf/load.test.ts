import test from "ava";
import { createBpfOps } from "../../../src/datapath/bpf/index.ts";
import { DatapathError, MapLayoutError, VerifierError } from "../../../src/datapath/errors.ts";
import { MapType } from "../../../src/datapath/types.ts";
import { TemporaryBpffs } from "./fixtures/bpffs.ts";
import { ObjectDirectory } from "./fixtures/compile.ts";

const bpf = createBpfOps();
const bpffs = new TemporaryBpffs(bpf);
const objects = new ObjectDirectory();
test.after.always(() => {
  objects.remove();
  bpffs.remove();
});

const object = objects.compile(
  "sample",
  `
struct record { __u32 id; union { __u64 whole; struct { __u16 half; __u8 rest[6]; }; }; __u8 low:3, high:5; };
struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 8); __type(key, __u32); __type(value, __u32);
} calls SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, __u32); __type(value, struct record);
} records_with_a_long_name SEC(".maps");

const volatile __u32 cfg_slot SEC(".rodata.config") = 3;
const volatile __u8 cfg_mac[6] SEC(".rodata.config") = {1, 2, 3, 4, 5, 6};
const volatile __u16 cfg_id SEC(".rodata.config");
const volatile __u64 plain = 7;

SEC("tc") int caller(struct __sk_buff *ctx)
{
	bpf_tail_call(ctx, &calls, cfg_slot);
	return 100;
}
SEC("tc") int callee_one(struct __sk_buff *ctx) { return 1; }
SEC("tc") int callee_two(struct __sk_buff *ctx) { return 2; }
SEC("tc") int config(struct __sk_buff *ctx) { return cfg_id * 1000 + cfg_mac[1] * 10 + plain; }
SEC("tc") int store(struct __sk_buff *ctx)
{
	struct record record = {.id = ctx->mark, .whole = ctx->cb[1]};
	__u32 key = 1;

	bpf_map_update_elem(&records_with_a_long_name, &key, &record, BPF_ANY);
	return 0;
}
SEC("tc") int broken(struct __sk_buff *ctx)
{
	__u32 key = 1;
	struct record *record = bpf_map_lookup_elem(&records_with_a_long_name, &key);

	return record->id;
}
`,
);

const packet = Buffer.alloc(64);

test("programs that are skipped are not loaded, whether they were asked for or not", (t) => {
  const everythingElse = bpf.load({ object, skipPrograms: ["broken", "caller", "no_such_program"] });
  t.deepEqual([...everythingElse.programs.keys()], ["callee_one", "callee_two", "config", "store"]);
  everythingElse.close();
  const chosen = bpf.load({ object, programs: ["config", "broken"], skipPrograms: ["broken"] });
  t.deepEqual([...chosen.programs.keys()], ["config"]);
  chosen.close();
});

test("an object is described without loading it", (t) => {
  const description = bpf.describeObject(object);
  t.deepEqual(
    description.programs.map(({ name, section }) => `${section}/${name}`),
    ["tc/caller", "tc/callee_one", "tc/callee_two", "tc/config", "tc/store", "tc/broken"],
  );
  t.deepEqual(
    description.maps.find(({ name }) => name === "records_with_a_long_name"),
    {
      ...{ name: "records_with_a_long_name", type: MapType.hash, keySize: 4, valueSize: 24 },
      ...{ maxEntries: 16, flags: 0 },
    },
  );
  t.deepEqual([...description.dataSections].sort(), [".rodata", ".rodata.config"]);
  t.deepEqual(
    description.constants.map(({ name, size, section }) => [name, size, section]),
    [
      ["plain", 8, ".rodata"],
      ["cfg_slot", 4, ".rodata.config"],
      ["cfg_mac", 6, ".rodata.config"],
      ["cfg_id", 2, ".rodata.config"],
    ],
  );
});

test("struct layouts list members of anonymous unions, arrays and bitfields", (t) => {
  t.deepEqual(bpf.describeObject(object).struct("record"), {
    name: "record",
    size: 24,
    members: [
      { name: "id", offset: 0, size: 4 },
      { name: "whole", offset: 8, size: 8 },
      { name: "half", offset: 8, size: 2 },
      { name: "rest", offset: 10, size: 6 },
      { name: "low", offset: 16, size: 1 },
      { name: "high", offset: 16, size: 1 },
    ],
  });
  t.is(bpf.describeObject(object).struct("nothing"), undefined);
});

test("only the programs asked for are loaded", (t) => {
  const collection = bpf.load({ object, programs: ["callee_one", "callee_two"] });
  t.deepEqual([...collection.programs.keys()], ["callee_one", "callee_two"]);
  t.is(collection.programs.get("callee_two")?.testRun({ data: packet }).returnValue, 2);
  collection.close();
  t.throws(() => bpf.load({ object, programs: ["missing"] }), {
    instanceOf: DatapathError,
    message: /no program missing; there are: caller, callee_one/,
  });
});

test("constants keep their C value until they are set", (t) => {
  const returned = (constants: Record<string, number | bigint | Buffer>) => {
    const collection = bpf.load({ object, programs: ["config"], constants });
    const { returnValue } = collection.programs.get("config")!.testRun({ data: packet });
    collection.close();
    return returnValue;
  };
  t.is(returned({}), 27);
  t.is(returned({ cfg_id: 5, plain: 3n, cfg_mac: Buffer.from([0, 4, 0, 0, 0, 0]) }), 5043);
  t.is(returned({ plain: -7 }), 13);
});

test("the verifier knows constants: code they rule out is not even verified", (t) => {
  const guarded = objects.compile(
    "guarded",
    `
const volatile __u32 cfg_broken SEC(".rodata.config") = 0;
SEC("tc") int guarded(struct __sk_buff *ctx) { return cfg_broken ? *(volatile int *)0 : 4; }
`,
  );
  const collection = bpf.load({ object: guarded, constants: { cfg_broken: 0 } });
  t.is(collection.programs.get("guarded")!.testRun({ data: packet }).returnValue, 4);
  collection.close();
  t.throws(() => bpf.load({ object: guarded, constants: { cfg_broken: 1 } }), { instanceOf: VerifierError });
});

test("a tail call with a constant key is compiled to a direct jump", (t) => {
  const load = (name: string, source: string) => bpf.load({ object: objects.compile(name, source) });
  const program = (key: string) => `
struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 8); __type(key, __u32); __type(value, __u32);
} calls SEC(".maps");
const volatile __u32 cfg_slot SEC(".rodata.config") = 3;
SEC("tc") int jump(struct __sk_buff *ctx) { bpf_tail_call(ctx, &calls, ${key}); return (ctx->mark & 7) + cfg_slot; }
`;
  const direct = load("direct", program("cfg_slot"));
  const indirect = load("indirect", program("ctx->mark & 7"));
  // The indirect form checks bounds and loads the target at run time; the direct one is a patched jump.
  const size = (collection: typeof direct) => collection.programs.get("jump")!.info().jitedBytes;
  t.true(size(direct) < size(indirect), `${size(direct)} and ${size(indirect)} bytes`);
  for (const collection of [direct, indirect]) collection.close();
});

test("constants that are unknown or do not fit are refused by name", (t) => {
  const loading = (constants: Record<string, number | bigint | Buffer>) => () =>
    bpf.load({ object, constants });
  t.throws(loading({ cfg_nothing: 1 }), { message: /constant cfg_nothing of .*there are: plain, cfg_slot/ });
  t.throws(loading({ cfg_id: 65_536 }), { message: /65536 does not fit in 2 bytes/ });
  t.throws(loading({ cfg_mac: 1 }), { message: /it has 6 bytes: give a buffer/ });
  t.throws(loading({ cfg_mac: Buffer.alloc(4) }), { message: /4 bytes given, it has 6/ });
  t.throws(loading({ cfg_id: 1.5 }), { message: /no integer/ });
});

test("a tail call through a constant key follows the slot as it is swapped", (t) => {
  const collection = bpf.load({
    object,
    programs: ["caller", "callee_one", "callee_two"],
    constants: { cfg_slot: 5 },
  });
  const { programs, maps } = collection;
  const calls = maps.get("calls")!;
  const run = () => programs.get("caller")!.testRun({ data: packet }).returnValue;
  t.is(run(), 100);
  bpf.setProgram(calls, 5, programs.get("callee_one")!);
  t.is(run(), 1);
  bpf.setProgram(calls, 5, programs.get("callee_two")!);
  t.is(run(), 2);
  t.deepEqual([...bpf.programIds(calls)], [[5, programs.get("callee_two")!.id]]);
  bpf.clearProgram(calls, 5);
  bpf.clearProgram(calls, 5);
  t.is(run(), 100);
  t.throws(() => bpf.setProgram(calls, 8, programs.get("callee_one")!), {
    message: /put program into slot 8 of map calls: .*E2BIG.*program callee_one/,
  });
  collection.close();
});

test("given maps are used in place of the object's", (t) => {
  const spec = bpf.describeObject(object).maps.find(({ name }) => name === "records_with_a_long_name")!;
  const records = bpf.createMap({ ...spec, maxEntries: 99 });
  const collection = bpf.load({
    object,
    programs: ["store"],
    maps: { records_with_a_long_name: records, unknown_name: records },
  });
  t.deepEqual([...collection.maps.keys()], ["calls"]);
  collection.programs.get("store")!.testRun({ data: packet, mark: 0xabcd, cb: [0, 77, 0, 0, 0] });
  const key = Buffer.from([1, 0, 0, 0]);
  t.is(records.lookup(key)?.readUInt32LE(0), 0xabcd);
  t.is(records.lookup(key)?.readUInt32LE(8), 77);
  t.true(collection.programs.get("store")!.info().mapIds.includes(records.info.id));
  collection.close();
  records.close();
});

test("a given map with another layout is refused with both sides", (t) => {
  const records = bpf.createMap({ name: "r", type: MapType.hash, keySize: 4, valueSize: 16, maxEntries: 16 });
  t.throws(() => bpf.load({ object, programs: ["store"], maps: { records_with_a_long_name: records } }), {
    instanceOf: MapLayoutError,
    message: /map records_with_a_long_name of .*value size 24, found 16/,
  });
  records.close();
});

test("a refused program is named with the verifier's last lines and the C line", (t) => {
  const error = t.throws(() => bpf.load({ object, programs: ["callee_one", "broken"] }), {
    instanceOf: VerifierError,
  });
  t.is(error?.program, "broken");
  t.is(error?.errnoName, "EACCES");
  t.is(error?.lastLines.at(-1), "R0 invalid mem access 'map_value_or_null'");
  t.regex(error?.sourceLine ?? "", /^return record->id;/);
  t.regex(error?.log ?? "", /processed \d+ insns/);
  t.regex(
    error?.message ?? "",
    /verify program broken of .*sample\.o.*\n.*\n.*R0 invalid mem access.*at: return record->id/s,
  );
});

test("a log of many megabytes keeps the errno and the reason at its end", (t) => {
  const long = objects.compile(
    "long",
    `
SEC("tc") int fine(struct __sk_buff *ctx) { return 0; }
SEC("tc") int long_winded(struct __sk_buff *ctx)
{
	volatile __u32 sum = 0;

	for (int i = 0; i < 9000; i++)
		sum += ctx->mark;
	return *(volatile int *)(long)sum;
}
`,
  );
  const error = t.throws(() => bpf.load({ object: long }), { instanceOf: VerifierError });
  t.is(error?.program, "long_winded");
  t.is(error?.errnoName, "EACCES");
  t.true((error?.log.length ?? 0) > 1 << 20);
  t.regex(error?.lastLines.at(-1) ?? "", /invalid mem access/);
});

test("a file that is no object is refused in libbpf's words", (t) => {
  t.throws(() => bpf.load({ object: object.replace(/o$/, "c") }), {
    instanceOf: DatapathError,
    message: /open object .*sample\.c: no valid BPF object file.*not a proper ELF object/,
  });
  t.throws(() => bpf.load({ object: "/nonexistent.o" }), {
    instanceOf: DatapathError,
    message: /read object \/nonexistent\.o: .*ENOENT/,
  });
});

test("a recompiled object is read anew", (t) => {
  const program = (value: number) => `SEC("tc") int only(struct __sk_buff *ctx) { return ${value}; }`;
  const run = (path: string) => {
    const collection = bpf.load({ object: path });
    const { returnValue } = collection.programs.get("only")!.testRun({ data: packet });
    collection.close();
    return returnValue;
  };
  t.is(run(objects.compile("again", program(1))), 1);
  t.is(run(objects.compile("again", program(2))), 2);
});

test("the verifier's statistics come on request", (t) => {
  const collection = bpf.load({ object, programs: ["callee_one", "store"], verifierStats: true });
  t.deepEqual(collection.stats.get("callee_one"), { insnsProcessed: 2, stackDepth: 0 });
  t.true(collection.stats.get("store")!.stackDepth >= 24);
  collection.close();
});

test("program facts come from the kernel, and outlive the collection through a pin", (t) => {
  const collection = bpf.load({ object, programs: ["callee_one"] });
  const program = collection.programs.get("callee_one")!;
  const info = program.info();
  t.is(info.id, program.id);
  t.is(info.name, "callee_one");
  t.is(info.type, 3);
  t.regex(info.tag, /^[0-9a-f]{16}$/);
  t.is(info.verifiedInsns, 2);
  t.true(info.xlatedBytes > 0 && info.jitedBytes > 0);
  program.pin(bpffs.at("callee_one"));
  collection.close();
  t.throws(() => program.info(), { message: /it is closed/ });

  const pinned = bpf.openPinnedProgram(bpffs.at("callee_one"))!;
  t.is(pinned.id, info.id);
  const byId = bpf.programById(info.id)!;
  t.is(byId.testRun({ data: packet }).returnValue, 1);
  for (const handle of [pinned, byId]) handle.close();
  t.throws(() => bpf.openPinnedMap(bpffs.at("callee_one")), { message: /open pinned map .*bpf-prog/ });
  bpf.unpin(bpffs.at("callee_one"));
  t.is(bpf.openPinnedProgram(bpffs.at("callee_one")), undefined);
});

test("run statistics are counted while they are switched on", (t) => {
  const collection = bpf.load({ object, programs: ["callee_one"] });
  const program = collection.programs.get("callee_one")!;
  const statistics = bpf.enableStats();
  for (let i = 0; i < 10; i++) program.testRun({ data: packet });
  statistics.close();
  t.is(program.info().runCount, 10n);
  collection.close();
});

test("a test run says how long it took and returns the packet", (t) => {
  const collection = bpf.load({ object, programs: ["callee_one"] });
  const data = Buffer.alloc(100, 0xaa);
  const result = collection.programs.get("callee_one")!.testRun({ data, repeat: 100 });
  t.deepEqual(result.data, data);
  // Nanoseconds, not seconds; whatever else the machine has to do is counted, too.
  t.true(result.durationNs > 0 && result.durationNs < 1_000_000_000);
  t.throws(() => collection.programs.get("callee_one")!.testRun({ data: Buffer.alloc(2) }), {
    message: /test-run program callee_one: .*EINVAL/,
  });
  collection.close();
});
