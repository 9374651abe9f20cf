// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* byte-counter for pods: bytes towards a pod, and bytes that a pod sends, Ethernet header included. */
#include <waggle/plugin.h>

/* One sum for the whole node. Written by every instance, read by the operator. */
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

HOOK(to_container_pre_ct_v4)
{
	count(ctx);
	return HOOK_NEXT;
}

HOOK(from_container_pre_service_v4)
{
	count(ctx);
	return HOOK_NEXT;
}

HOOK(to_container_pre_ct_v6)
{
	count(ctx);
	return HOOK_NEXT;
}

HOOK(from_container_pre_service_v6)
{
	count(ctx);
	return HOOK_NEXT;
}
