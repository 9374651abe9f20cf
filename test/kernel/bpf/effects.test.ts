// What the agent tells of a program from its instructions: does it leave packets as they are?

import test from "ava";
import { createBpfOps } from "../../../src/datapath/bpf/index.ts";
import { MapType, type ProgramEffects } from "../../../src/datapath/types.ts";
import { ObjectDirectory } from "./fixtures/compile.ts";

const bpf = createBpfOps();
const objects = new ObjectDirectory();
test.after.always(() => objects.remove());

const access = `
static __always_inline void *head(struct __sk_buff *ctx, __u32 len)
{
	void *data = (void *)(long)ctx->data;

	return data + len <= (void *)(long)ctx->data_end ? data : (void *)0;
}
`;

const readers = objects.compile(
  "readers",
  `${access}
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2); __type(key, __u32); __type(value, __u32);
} next SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64);
} seen SEC(".maps");
const volatile __u8 cfg_writes SEC(".rodata.config") = 0;

SEC("tc") int nothing(struct __sk_buff *ctx) { return 0; }
SEC("tc") int reads(struct __sk_buff *ctx)
{
	__u8 *data = head(ctx, 14);

	return data ? data[13] : 0;
}
SEC("tc") int pulls_and_loads(struct __sk_buff *ctx)
{
	__u8 byte = 0;

	bpf_skb_pull_data(ctx, 40);
	bpf_skb_load_bytes(ctx, 23, &byte, 1);
	return byte;
}
SEC("tc") int counts_and_goes_on(struct __sk_buff *ctx)
{
	__u32 zero = 0;
	__u64 *sum = bpf_map_lookup_elem(&seen, &zero);

	if (sum)
		*sum += ctx->len;
	bpf_tail_call(ctx, &next, 1);
	return 0;
}
static int add(__u32 index, __u64 *sum) { *sum += index; return 0; }
SEC("tc") int loops(struct __sk_buff *ctx)
{
	__u64 sum = ctx->len;

	bpf_loop(8, add, &sum, 0);
	return sum & 1;
}
SEC("tc") int marks(struct __sk_buff *ctx) { ctx->mark = 1; ctx->cb[0] = 2; ctx->priority = 3; return 0; }
SEC("tc") int writes_if_told_to(struct __sk_buff *ctx)
{
	__u8 *data = head(ctx, 14);

	if (data && cfg_writes)
		data[0] = 1;
	return 0;
}
`,
);

const writers = objects.compile(
  "writers",
  `${access}
static __attribute__((noinline)) int write_aside(struct __sk_buff *ctx)
{
	__u8 *data = head(ctx, 14);

	if (data)
		data[0] = ctx->len;
	return 0;
}
__attribute__((noinline)) int write_elsewhere(struct __sk_buff *ctx)
{
	__u8 *data = head(ctx, 14);

	if (data)
		data[0] = ctx->len;
	return 0;
}
SEC("tc") int directly(struct __sk_buff *ctx)
{
	__u8 *data = head(ctx, 14);

	if (data)
		data[0] = 1;
	return 0;
}
SEC("tc") int in_a_subprogram(struct __sk_buff *ctx) { return write_aside(ctx) + 1; }
SEC("tc") int in_a_global_function(struct __sk_buff *ctx) { return write_elsewhere(ctx) + 1; }
static int write_once(__u32 index, struct __sk_buff **ctx) { return write_aside(*ctx); }
SEC("tc") int in_a_callback(struct __sk_buff *ctx) { bpf_loop(2, write_once, &ctx, 0); return 0; }
SEC("tc") int with_store_bytes(struct __sk_buff *ctx)
{
	__u8 byte = 1;

	bpf_skb_store_bytes(ctx, 0, &byte, 1, 0);
	return 0;
}
SEC("tc") int with_a_checksum(struct __sk_buff *ctx) { bpf_l4_csum_replace(ctx, 40, 0, 1, 2); return 0; }
SEC("tc") int of_its_length(struct __sk_buff *ctx) { bpf_skb_change_tail(ctx, 60, 0); return 0; }
SEC("tc") int behind_a_loop(struct __sk_buff *ctx)
{
	__u8 *data = head(ctx, 14);

	/* may_goto +1: the verifier puts a counter of it before everything else. */
	asm volatile("1: .byte 0xe5, 0x0; .short 1; .long 0x0; goto 1b" ::: "memory");
	if (data)
		data[0] = 1;
	return 0;
}
extern int bpf_dynptr_from_skb(struct __sk_buff *ctx, __u64 flags, struct bpf_dynptr *ptr) __ksym;
SEC("tc") int with_a_kernel_function(struct __sk_buff *ctx)
{
	struct bpf_dynptr whole;

	return bpf_dynptr_from_skb(ctx, 0, &whole);
}
`,
);

const wanderer = objects.compile(
  "wanderer",
  `
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2); __type(key, __u32); __type(value, __u32);
} anywhere SEC(".maps");
SEC("tc") int leaves(struct __sk_buff *ctx) { bpf_tail_call(ctx, &anywhere, 1); return 0; }
`,
);

const next = bpf.createMap({
  name: "next",
  type: MapType.progArray,
  keySize: 4,
  valueSize: 4,
  maxEntries: 2,
});
test.after.always(() => next.close());

const names = (effects: ReadonlyMap<string, ProgramEffects>, writes: boolean): readonly string[] =>
  [...effects].filter(([, { writesPackets }]) => writesPackets === writes).map(([name]) => name);

test("a program that reads packets, counts them and goes on in an array of the caller's leaves them as they are", async (t) => {
  const effects = await bpf.verify({ object: readers, maps: { next } });
  t.is(effects.size, 7);
  t.deepEqual(names(effects, true), []);
});

test("whether a program writes is told for the values of its constants", async (t) => {
  const effects = await bpf.verify({ object: readers, maps: { next }, constants: { cfg_writes: 1 } });
  t.deepEqual(names(effects, true), ["writes_if_told_to"]);
});

test("a program that writes is found out, however it does it", async (t) => {
  const effects = await bpf.verify({ object: writers });
  t.is(effects.size, 9);
  t.deepEqual(names(effects, false), []);
});

test("what goes on in an array of its own may do anything", async (t) => {
  t.deepEqual(names(await bpf.verify({ object: wanderer }), false), []);
});

test("stores to the control block are found where they stand, and a word that is only cleared is told", async (t) => {
  const object = objects.compile(
    "control",
    `
static __attribute__((noinline)) int aside(struct __sk_buff *ctx, __u32 value)
{
	ctx->cb[4] = value;
	return value;
}
SEC("tc") int one_word(struct __sk_buff *ctx) { if (ctx->len > 100) ctx->cb[3] = ctx->len; return 0; }
SEC("tc") int all_words(struct __sk_buff *ctx) { __builtin_memset(ctx->cb, 0, sizeof(ctx->cb)); return 0; }
SEC("tc") int a_subprogram(struct __sk_buff *ctx) { return aside(ctx, ctx->len) + 1; }
SEC("tc") int a_byte(struct __sk_buff *ctx) { ((volatile __u8 *)&ctx->cb[2])[3] = 0; return 0; }
SEC("tc") int none(struct __sk_buff *ctx)
{
	volatile __u32 stack[20] = {};

	stack[15] = ctx->cb[3];
	ctx->mark = stack[15];
	return 0;
}
`,
  );
  const effects = await bpf.verify({ object });
  const found = (name: string): readonly string[] => [
    ...new Set(
      effects.get(name)!.controlStores.map(({ word, clears }) => `${word}${clears ? " cleared" : ""}`),
    ),
  ];
  t.deepEqual(found("one_word"), ["3"]);
  t.deepEqual([...new Set(found("all_words").map((text) => text[0]))].sort(), ["0", "1", "2", "3", "4"]);
  t.false(found("all_words").includes("3 cleared"), "3 goes with another");
  t.deepEqual(found("a_subprogram"), ["4"]);
  t.deepEqual(found("a_byte"), ["2"]);
  t.deepEqual(found("none"), []);
});
