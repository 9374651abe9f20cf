// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* byte-counter for node devices: bytes that arrive from the network, Ethernet header included. */
#include <waggle/plugin.h>

/* The same map as in lxc.c: maps of a plugin are shared by name. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} byte_count SEC(".maps");

static __always_inline void count(struct __sk_buff *ctx)
{
	__u32 zero = 0;
	__u64 *bytes = bpf_map_lookup_elem(&byte_count, &zero);

	if (bytes)
		*bytes += ctx->len;
}

HOOK(from_netdev_v4)
{
	count(ctx);
	return HOOK_NEXT;
}

HOOK(from_netdev_v6)
{
	count(ctx);
	return HOOK_NEXT;
}
