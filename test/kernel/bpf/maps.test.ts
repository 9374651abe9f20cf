import { randomBytes } from "node:crypto";
import test from "ava";
import { createBpfOps } from "../../../src/datapath/bpf/index.ts";
import { DatapathError, MapLayoutError } from "../../../src/datapath/errors.ts";
import {
  type Codec,
  type MapSpec,
  MapType,
  type RawMap,
  type TypedMapSpec,
} from "../../../src/datapath/types.ts";
import { TemporaryBpffs } from "./fixtures/bpffs.ts";

const bpf = createBpfOps();
const bpffs = new TemporaryBpffs(bpf);
test.after.always(() => bpffs.remove());

const hash: MapSpec = { name: "wg_test_hash", type: MapType.hash, keySize: 4, valueSize: 8, maxEntries: 16 };

function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}

function u64(value: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
}

function withMap(spec: MapSpec, use: (map: RawMap) => void | Promise<void>): Promise<void> {
  const map = bpf.createMap(spec);
  return Promise.resolve(use(map)).finally(() => map.close());
}

test("a map returns what was put in, and undefined for what was not", (t) =>
  withMap(hash, (map) => {
    map.update(u32(1), u64(100));
    t.deepEqual(map.lookup(u32(1)), u64(100));
    t.is(map.lookup(u32(2)), undefined);
    t.true(map.delete(u32(1)));
    t.false(map.delete(u32(1)));
  }));

test("update modes tell creating from replacing", (t) =>
  withMap(hash, (map) => {
    const absent = t.throws(() => map.update(u32(1), u64(1), "exist"), { instanceOf: DatapathError });
    t.is(absent?.errnoName, "ENOENT");
    map.update(u32(1), u64(1), "noexist");
    const present = t.throws(() => map.update(u32(1), u64(2), "noexist"), { instanceOf: DatapathError });
    t.is(present?.errnoName, "EEXIST");
    t.is(present?.status, "ALREADY_EXISTS");
    t.regex(present?.message ?? "", /update map wg_test_hash: .*EEXIST/);
  }));

test("keys and values of another size never reach the kernel", (t) =>
  withMap(hash, async (map) => {
    t.throws(() => map.lookup(Buffer.alloc(3)), { message: /3 bytes given, 4 needed/ });
    t.throws(() => map.update(u32(1), Buffer.alloc(9)), { message: /9 bytes given, 8 needed/ });
    await t.throwsAsync(map.updateBatch([u32(1)], []), { message: /1 keys but 0 values/ });
  }));

test("a closed map says so", (t) => {
  const map = bpf.createMap(hash);
  map.close();
  map.close();
  t.throws(() => map.lookup(u32(1)), { message: /it is closed/ });
});

test("a full map is resource exhaustion, and the batch says how far it came", (t) =>
  withMap(hash, async (map) => {
    const keys = Array.from({ length: 20 }, (_, i) => u32(i));
    const error = await t.throwsAsync(
      map.updateBatch(
        keys,
        keys.map(() => u64(1)),
      ),
      { instanceOf: DatapathError },
    );
    t.is(error?.status, "RESOURCE_EXHAUSTED");
    t.regex(error?.message ?? "", /after 16 of 20 entries/);
  }));

const batchTypes: readonly (readonly [string, Partial<MapSpec>])[] = [
  ["a hash", { type: MapType.hash }],
  ["an LRU hash", { type: MapType.lruHash }],
  ["a per-CPU hash", { type: MapType.percpuHash }],
  ["an LPM trie", { type: MapType.lpmTrie, keySize: 8, flags: 1 }],
];
for (const [title, change] of batchTypes) {
  test(`batches fill, list and empty ${title}`, (t) =>
    // Three chunks; an LRU gives up entries before it is full.
    withMap({ ...hash, maxEntries: 20_000, ...change }, async (map) => {
      const lpm = change.type === MapType.lpmTrie;
      const keys = Array.from({ length: 9_000 }, (_, i) => (lpm ? Buffer.concat([u32(32), u32(i)]) : u32(i)));
      const width = change.type === MapType.percpuHash ? bpf.cpus : 1;
      const values = keys.map((_, i) => Buffer.concat(Array.from({ length: width }, () => u64(i))));
      await map.updateBatch(keys, values);
      const entries = await map.entries();
      t.is(entries.length, keys.length);
      t.true(entries.every(({ key, value }) => value.readUInt32LE(0) === key.readUInt32LE(lpm ? 4 : 0)));
      const some = keys.filter((_, i) => i % 3 === 0);
      t.is(await map.deleteBatch(some), some.length);
      // A third of these are gone already: they are passed over, not an error.
      t.is(await map.deleteBatch(keys), keys.length - some.length);
      t.deepEqual(await map.entries(), []);
    }));
}

test("an array lists all its elements", (t) =>
  withMap({ ...hash, type: MapType.array, maxEntries: 3 }, async (map) => {
    await map.updateBatch([u32(0), u32(2)], [u64(7), u64(9)]);
    t.deepEqual(
      (await map.entries()).map(({ value }) => value),
      [u64(7), u64(0), u64(9)],
    );
  }));

test("types without batch operations are walked key by key", (t) =>
  withMap({ ...hash, type: MapType.progArray, valueSize: 4 }, async (map) => {
    t.deepEqual(await map.entries(), []);
  }));

const number32: Codec<number> = {
  size: 4,
  encode: (value, into, offset) => void into.writeUInt32LE(value, offset),
  decode: (from, offset) => from.readUInt32LE(offset),
};

function typedSpec(type: MapType): TypedMapSpec<number, number> {
  const text = String;
  const name = "wg_test_typed";
  return {
    ...{ name, type, keySize: 4, valueSize: 4, maxEntries: 8 },
    ...{ key: number32, value: number32, formatKey: text, formatValue: text },
  };
}

test("a typed map speaks its codecs' language", async (t) => {
  const spec = typedSpec(MapType.hash);
  const map = bpf.typed(bpf.createMap(spec), spec);
  await map.updateBatch([
    [1, 10],
    [2, 20],
  ]);
  t.is(map.lookup(2), 20);
  t.deepEqual([...(await map.entries())].sort(), [
    [1, 10],
    [2, 20],
  ]);
  t.is(await map.deleteBatch([1, 2, 3]), 2);
  t.throws(() => map.lookupPerCpu(1), { message: /no per-CPU map/ });
  map.close();
});

test("a per-CPU map has a value for every possible CPU, padded to 8 bytes", async (t) => {
  const spec = typedSpec(MapType.percpuHash);
  const map = bpf.typed(bpf.createMap(spec), spec);
  map.update(1, 5);
  t.deepEqual(map.lookupPerCpu(1), Array(bpf.cpus).fill(5));
  t.is(map.raw.lookup(u32(1))?.length, 8 * bpf.cpus);
  t.deepEqual(await map.entriesPerCpu(), [[1, Array(bpf.cpus).fill(5)]]);
  t.throws(() => map.lookup(1), { message: /ask for the values per CPU/ });
  map.close();
});

test("codecs of another size than the map's are refused", (t) =>
  withMap(hash, (map) => {
    t.throws(() => bpf.typed(map, typedSpec(MapType.hash)), {
      instanceOf: MapLayoutError,
      message: /value size 4, found 8/,
    });
  }));

test("a pinned map is found again, under its full name", (t) => {
  const name = `wg_a_name_longer_than_fifteen_${randomBytes(3).toString("hex")}`;
  const first = bpf.ensurePinnedMap({ ...hash, name }, bpffs.at(name));
  first.update(u32(1), u64(42));
  const second = bpf.ensurePinnedMap({ ...hash, name }, bpffs.at(name));
  t.is(second.info.id, first.info.id);
  const third = bpf.openPinnedMap(bpffs.at(name));
  t.is(third?.spec.name, name);
  t.deepEqual(third?.lookup(u32(1)), u64(42));
  t.deepEqual([...bpf.listPins(bpffs.path)].includes(name), true);
  for (const map of [first, second, third]) map?.close();
  bpf.unpin(bpffs.at(name));
  bpf.unpin(bpffs.at(name));
  t.is(bpf.openPinnedMap(bpffs.at(name)), undefined);
});

test("a pin with another layout is left alone and both sides are told", (t) => {
  const path = bpffs.at("other_layout");
  bpf.ensurePinnedMap(hash, path).close();
  const error = t.throws(() => bpf.ensurePinnedMap({ ...hash, valueSize: 16, maxEntries: 32 }, path), {
    instanceOf: MapLayoutError,
  });
  t.regex(error?.message ?? "", /value size 16, found 8; max entries 32, found 16/);
  t.is(error?.actual.valueSize, 8);
  bpf.openPinnedMap(path)?.close();
});

test("pins live in directories that can be made, listed and removed", (t) => {
  const directory = bpffs.at("plugins/one");
  bpf.makePinDirectory(directory);
  const map = bpf.createMap(hash);
  map.pin(`${directory}/map`);
  map.close();
  t.deepEqual(bpf.listPins(directory), ["map"]);
  t.throws(() => bpf.unpin(directory), { instanceOf: DatapathError, message: /remove pin .*ENOTEMPTY/ });
  bpf.unpin(bpffs.at("plugins"), true);
  t.deepEqual(bpf.listPins(directory), []);
});

test("a bpffs is mounted once", (t) => {
  t.false(bpf.ensureBpffs(bpffs.path));
  t.false(bpf.ensureBpffs(bpffs.at("inside")));
  bpf.unpin(bpffs.at("inside"));
});

test("map-creation failures name the map and the errno", (t) => {
  const error = t.throws(() => bpf.createMap({ ...hash, keySize: 0 }), { instanceOf: DatapathError });
  t.is(error?.object, "map wg_test_hash");
  t.is(error?.errnoName, "EINVAL");
});

test("values of sixteen kilobytes go in in batches, and their keys come out without them", (t) => {
  const spec = { name: "wg_test_large", type: MapType.hash, keySize: 4, valueSize: 16_372, maxEntries: 4000 };
  return withMap({ ...spec, flags: 1 }, async (map) => {
    const keys = Array.from({ length: 3000 }, (_, i) => u32(i));
    const value = randomBytes(spec.valueSize);
    await map.updateBatch(
      keys,
      keys.map(() => value),
    );
    const listed = (await map.keys()).map((key) => key.readUInt32LE()).sort((a, b) => a - b);
    t.deepEqual(
      listed,
      keys.map((key) => key.readUInt32LE()),
    );
    t.deepEqual(map.lookup(u32(2999)), value);
    t.is(await map.deleteBatch(keys), 3000);
    t.deepEqual(await map.keys(), []);
  });
});
