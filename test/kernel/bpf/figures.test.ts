/** What the FFI and the kernel take here. Bounds are ten times what is usual: they catch mistakes, not noise. */
import test from "ava";
import { createBpfOps } from "../../../src/datapath/bpf/index.ts";
import { MapType } from "../../../src/datapath/types.ts";
import { ObjectDirectory } from "./fixtures/compile.ts";

const bpf = createBpfOps();
const objects = new ObjectDirectory();
test.after.always(() => objects.remove());

const object = objects.compile(
  "figures",
  `
struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 8); __type(key, __u32); __type(value, __u32);
} calls SEC(".maps");
const volatile __u32 cfg_slot SEC(".rodata.config") = 3;
SEC("tc") int caller(struct __sk_buff *ctx) { bpf_tail_call(ctx, &calls, cfg_slot); return 0; }
`,
);

/** Median milliseconds of `rounds` runs. */
function median(rounds: number, run: () => void): number {
  const times = Array.from({ length: rounds }, () => {
    const start = performance.now();
    run();
    return performance.now() - start;
  });
  return times.sort((a, b) => a - b)[rounds >> 1]!;
}

test.serial("a load of a small program with constants and a shared map", (t) => {
  const calls = bpf.createMap({
    name: "calls",
    type: MapType.progArray,
    keySize: 4,
    valueSize: 4,
    maxEntries: 8,
  });
  const milliseconds = median(50, () => {
    bpf.load({ object, constants: { cfg_slot: 5 }, maps: { calls } }).close();
  });
  calls.close();
  t.log(`${milliseconds.toFixed(2)} ms`);
  t.true(milliseconds < 100);
});

test.serial("a map lookup, FFI and system call", (t) => {
  const map = bpf.createMap({ name: "m", type: MapType.hash, keySize: 4, valueSize: 8, maxEntries: 4 });
  const key = Buffer.alloc(4);
  map.update(key, Buffer.alloc(8));
  const milliseconds = median(10, () => {
    for (let i = 0; i < 1_000; i++) map.lookup(key);
  });
  map.close();
  t.log(`${(milliseconds * 1_000).toFixed(0)} ns`);
  t.true(milliseconds < 500);
});

test.serial("100,000 entries in batches", async (t) => {
  const spec = { name: "m", type: MapType.hash, keySize: 8, valueSize: 16, maxEntries: 120_000 } as const;
  const map = bpf.createMap(spec);
  const keys = Array.from({ length: 100_000 }, (_, i) => {
    const key = Buffer.alloc(8);
    key.writeUInt32LE(i);
    return key;
  });
  const values = keys.map(() => Buffer.alloc(16));
  const timed = async (title: string, action: () => Promise<unknown>) => {
    const start = performance.now();
    await action();
    const milliseconds = performance.now() - start;
    t.log(`${title}: ${milliseconds.toFixed(0)} ms`);
    t.true(milliseconds < 20_000);
  };
  await timed("update", () => map.updateBatch(keys, values));
  await timed("list", () => map.entries());
  await timed("delete", () => map.deleteBatch(keys));
  map.close();
});

test.serial("a grace period", async (t) => {
  const start = performance.now();
  for (let i = 0; i < 5; i++) await bpf.quiesce();
  const milliseconds = (performance.now() - start) / 5;
  t.log(`${milliseconds.toFixed(1)} ms`);
  t.true(milliseconds < 20_000);
});
