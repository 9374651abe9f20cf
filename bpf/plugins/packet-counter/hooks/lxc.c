// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* packet-counter for pods: packets towards a pod, and packets that a pod sends. */
#include <waggle/plugin.h>

/* One counter for the whole node. Written by every instance, read by the operator. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} packet_count SEC(".maps");

static __always_inline void count(void)
{
	__u32 zero = 0;
	__u64 *packets = bpf_map_lookup_elem(&packet_count, &zero);

	if (packets)
		(*packets)++;
}

HOOK(to_container_pre_ct_v4)
{
	count();
	return HOOK_NEXT;
}

HOOK(from_container_pre_service_v4)
{
	count();
	return HOOK_NEXT;
}

HOOK(to_container_pre_ct_v6)
{
	count();
	return HOOK_NEXT;
}

HOOK(from_container_pre_service_v6)
{
	count();
	return HOOK_NEXT;
}
