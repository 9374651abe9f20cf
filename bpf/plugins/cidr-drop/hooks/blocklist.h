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

/* The verdict for a packet whose remote address is `addr` (network order). */
static __always_inline int check(__be32 addr)
{
	struct prefix_v4 key = {.prefixlen = 32, .addr = addr};
	__u64 *hits = bpf_map_lookup_elem(&blocked_v4, &key);

	if (!hits)
		return HOOK_NEXT;
	__sync_fetch_and_add(hits, 1); /* one value for all CPUs */
	return PLUGIN_CONFIG_GET(dry_run) ? HOOK_NEXT : HOOK_DROP;
}

#endif
