// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The bare hop in a plugin's place: what the agent needs to link it, a counter for each CPU, and a tail call. Whose packet
 * it is is not asked, and nothing is done about a verdict or a link that is missing.
 */
#include <waggle/plugin.h>

const volatile __u32 cfg_slot_to_container_pre_ct_v4 SEC(".rodata.config") = 0;
const volatile __u32 cfg_pos_to_container_pre_ct_v4 SEC(".rodata.config") = 0;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, HOOK_CHAIN_SLOTS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} wg_chain_to_container_pre_ct_v4 SEC(".maps");

SEC("tc")
int to_container_pre_ct_v4(struct __sk_buff *ctx)
{
	__u32 slot = cfg_slot_to_container_pre_ct_v4;
	struct hook_stats *stats = bpf_map_lookup_elem(&waggle_hook_stats, &slot);

	if (stats)
		stats->verdicts[HOOK_STAT_NEXT]++;
	bpf_tail_call(ctx, &wg_chain_to_container_pre_ct_v4, cfg_pos_to_container_pre_ct_v4);
	return TC_ACT_SHOT;
}
