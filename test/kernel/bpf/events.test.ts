import { setTimeout as wait } from "node:timers/promises";
import test from "ava";
import { readPerfEvents } from "../../../src/datapath/bpf/event-reader.ts";
import { createBpfOps } from "../../../src/datapath/bpf/index.ts";
import { ObjectDirectory } from "./fixtures/compile.ts";

const bpf = createBpfOps();
const objects = new ObjectDirectory();
test.after.always(() => objects.remove());

const object = objects.compile(
  "events",
  `
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __type(key, __u32); __type(value, __u32); } events SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 65536); } records SEC(".maps");

SEC("tc") int to_perf(struct __sk_buff *ctx)
{
	__u64 sample[2] = {ctx->mark, 0xfeed};

	return bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, sample, sizeof(sample));
}
SEC("tc") int to_ring(struct __sk_buff *ctx)
{
	__u64 sample[2] = {ctx->mark, 0xfeed};

	return bpf_ringbuf_output(&records, sample, sizeof(sample), 0);
}
`,
);
const packet = Buffer.alloc(64);

/** Resolves when the condition holds; the test's own timeout ends a wait for one that never does. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await wait(2);
}

test("perf events arrive whole, in order, with their CPU", async (t) => {
  const collection = bpf.load({ object, programs: ["to_perf"] });
  const seen: { mark: bigint; cpu: number; length: number }[] = [];
  const reader = bpf.readPerfEvents(
    collection.maps.get("events")!,
    // The kernel pads samples: a perf record is a multiple of 8 with its 4-byte length.
    (data, cpu) => seen.push({ mark: data.readBigUInt64LE(0), cpu, length: data.length }),
    () => t.fail("nothing may be lost"),
  );
  for (let mark = 0; mark < 50; mark++) collection.programs.get("to_perf")!.testRun({ data: packet, mark });
  await until(() => seen.length === 50);
  t.true(seen.every(({ cpu, length }) => cpu < bpf.cpus && length >= 16));
  const byCpu = Map.groupBy(seen, ({ cpu }) => cpu);
  for (const events of byCpu.values()) {
    const marks = events.map(({ mark }) => mark);
    t.deepEqual(
      marks,
      marks.toSorted((a, b) => Number(a - b)),
    );
  }
  reader.close();
  reader.close();
  collection.close();
});

test("events beyond the buffer are counted as lost", async (t) => {
  const collection = bpf.load({ object, programs: ["to_perf"] });
  let seen = 0;
  let lost = 0;
  const reader = bpf.readPerfEvents(
    collection.maps.get("events")!,
    () => {
      seen++;
    },
    (count) => {
      lost += count;
    },
  );
  // One system call, so that no reading happens in between: 256 KiB of buffer, 32 bytes an event.
  collection.programs.get("to_perf")!.testRun({ data: packet, repeat: 20_000 });
  await until(() => seen > 0);
  // The kernel reports a CPU's loss with its next event that fits, and this process may be on another CPU by now.
  let sent = 20_000;
  await until(() => {
    if (lost > 0 && seen + lost >= sent) return true;
    collection.programs.get("to_perf")!.testRun({ data: packet });
    sent++;
    return false;
  });
  t.true(lost > 0);
  reader.close();
  collection.close();
});

test("ring buffer records arrive", async (t) => {
  const collection = bpf.load({ object, programs: ["to_ring"] });
  const marks: bigint[] = [];
  const reader = bpf.readRingbuf(collection.maps.get("records")!, (data) =>
    marks.push(data.readBigUInt64LE(0)),
  );
  for (let mark = 0; mark < 20; mark++) collection.programs.get("to_ring")!.testRun({ data: packet, mark });
  await until(() => marks.length === 20);
  t.deepEqual(
    marks,
    Array.from({ length: 20 }, (_, mark) => BigInt(mark)),
  );
  reader.close();
  collection.close();
});

test("a consumer that throws is reported and reading goes on", async (t) => {
  const collection = bpf.load({ object, programs: ["to_perf"] });
  const errors: unknown[] = [];
  let seen = 0;
  const reader = readPerfEvents(
    collection.maps.get("events")!,
    () => {
      seen++;
      if (seen === 1) throw new Error("a consumer's mistake");
    },
    () => t.fail("nothing may be lost"),
    (error) => errors.push(error),
  );
  for (let i = 0; i < 3; i++) collection.programs.get("to_perf")!.testRun({ data: packet });
  await until(() => seen === 3);
  t.deepEqual(
    errors.map((error) => (error as Error).message),
    ["a consumer's mistake"],
  );
  reader.close();
  collection.close();
});

test("a reader may be closed from inside an event, and outlives the closing of its map", async (t) => {
  const collection = bpf.load({ object, programs: ["to_perf"] });
  let seen = 0;
  const reader = bpf.readPerfEvents(
    collection.maps.get("events")!,
    () => {
      seen++;
      reader.close();
    },
    () => t.fail("nothing may be lost"),
  );
  for (const map of collection.maps.values()) map.close();
  collection.programs.get("to_perf")!.testRun({ data: packet });
  await until(() => seen === 1);
  collection.close();
  t.pass();
});
