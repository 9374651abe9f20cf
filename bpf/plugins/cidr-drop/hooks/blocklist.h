// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The list of prefixes, for lxc.c and host.c. */
#ifndef __CIDR_DROP_BLOCKLIST_H
#define __CIDR_DROP_BLOCKLIST_H

#include <waggle/plugin.h>

PLUGIN_CONFIG(__u8, dry_run, 0);

struct prefix_v4 {
	__u32 prefixlen; /* 0 to 32 */
	__be32 addr;
};

/* Prefixes, and how many packets each has stopped. Filled by the operator, who writes 0 as the count. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix_v4);
	__type(value, __u64);
} blocked_v4 SEC(".maps");

struct prefix_v6 {
	__u32 prefixlen; /* 0 to 128 */
	struct in6_addr addr;
};

/* The same of IPv6. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix_v6);
	__type(value, __u64);
} blocked_v6 SEC(".maps");

/* The verdict for a packet whose remote address has the counter `hits`, or is in no prefix (NULL). */
static __always_inline int verdict(__u64 *hits)
{
	if (!hits)
		return HOOK_NEXT;
	__sync_fetch_and_add(hits, 1); /* one value for all CPUs */
	return PLUGIN_CONFIG_GET(dry_run) ? HOOK_NEXT : HOOK_DROP;
}

/* The verdict for a packet whose remote address is `addr` (network order). */
static __always_inline int check_v4(__be32 addr)
{
	struct prefix_v4 key = {.prefixlen = 32, .addr = addr};

	return verdict(bpf_map_lookup_elem(&blocked_v4, &key));
}

static __always_inline int check_v6(const struct in6_addr *addr)
{
	struct prefix_v6 key = {.prefixlen = 128, .addr = *addr};

	return verdict(bpf_map_lookup_elem(&blocked_v6, &key));
}

#endif
