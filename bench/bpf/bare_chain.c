// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The bare hop that a plugin is measured against: tail calls with a constant key, and a per-CPU counter in each.
 * Loaded once for each link, as plugins are.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

/* As large as waggle_hook_stats and the chains of plugins. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__type(value, __u64[8]);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 40);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} chain SEC(".maps");

const volatile __u32 cfg_slot SEC(".rodata.config") = 0;
const volatile __u32 cfg_pos SEC(".rodata.config") = 0; /* of the next link */

SEC("tc")
int bare_entry(struct __sk_buff *ctx)
{
	bpf_tail_call_static(ctx, &chain, 0);
	return TC_ACT_SHOT;
}

SEC("tc")
int bare_link(struct __sk_buff *ctx)
{
	__u32 slot = cfg_slot;
	__u64 *counts = bpf_map_lookup_elem(&counters, &slot);

	if (counts)
		counts[0]++;
	bpf_tail_call(ctx, &chain, cfg_pos);
	return TC_ACT_SHOT;
}

SEC("tc")
int bare_end(struct __sk_buff *ctx __attribute__((unused)))
{
	return TC_ACT_REDIRECT;
}

char bpf_license[] SEC("license") = "Dual BSD/GPL";
