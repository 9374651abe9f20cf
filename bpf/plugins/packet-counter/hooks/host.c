// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* packet-counter for node devices: packets that arrive from the network. */
#include <waggle/plugin.h>

/* The same map as in lxc.c: maps of a plugin are shared by name. */
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

HOOK(from_netdev_v4)
{
	count();
	return HOOK_NEXT;
}

HOOK(from_netdev_v6)
{
	count();
	return HOOK_NEXT;
}
