// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Whose address is it, and where: the ipcache, whose search for the longest prefix costs more than most stages, asked once
 * for each address and epoch. For programs of network devices (memo.h). Once for each family (family_v4.h).
 */
#include <waggle/internal/ipcache.h>
#include "hash.h"
#include "memo.h"

#if IPV == 4
struct whereabouts {
	__u32 identity;	    /* world when nobody has claimed the address */
	__be32 tunnel_ipv4; /* node that it is behind; 0: this one, or none */
};

struct ipcache_memo {
	__u64 tag;
	union ip_addr addr;
	struct whereabouts where;
};

_Static_assert(sizeof(struct ipcache_memo) == 32, "two memos are one cache line");

/* In one record: for each of several, the kernel would first have to look where it is on this CPU. */
struct ipcache_memos {
	struct ipcache_memo of[MEMOS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ipcache_memos);
} wg_memo_ipcache SEC(".maps");
#endif

static __always_inline struct whereabouts F(whereabouts_searched)(F(addr) addr)
{
	const struct remote_endpoint_info *info = F(ipcache_lookup)(addr);

	return (struct whereabouts){
		.identity = ipcache_identity(info),
		.tunnel_ipv4 = info ? info->tunnel_ipv4 : 0,
	};
}

/* What is known of an address. */
static __always_inline struct whereabouts F(whereabouts)(F(addr) addr)
{
	__u32 zero = 0;
	struct ipcache_memos *memos = bpf_map_lookup_elem(&wg_memo_ipcache, &zero);
	__u64 tag = memo_tag(EPOCH_IPCACHE, IPV);
	struct ipcache_memo *memo;

	if (!memos || !tag)
		return F(whereabouts_searched)(addr);
	memo = &memos->of[memo_slot(F(hash_addr)(0, addr))];
	if (memo->tag != tag || !F(addr_equal)(memo->addr.F(ip), addr)) {
		memo_begin(&memo->tag);
		memo->addr.F(ip) = addr;
		memo->where = F(whereabouts_searched)(addr);
		memo_end(&memo->tag, tag);
	}
	return memo->where;
}

/*
 * May the address be one of this node's, `node_ipv4`? They are in the ipcache by their full length and as this node's
 * before anybody is told of them, and nothing that others say of an address outranks that. So where it leads to
 * another node, or the address is the world's, cilium_lxc has no entry of it, or one that is about to go.
 */
static __always_inline _Bool F(may_be_here)(struct whereabouts where, __be32 node_ipv4)
{
	return (!where.tunnel_ipv4 || where.tunnel_ipv4 == node_ipv4) && where.identity != IDENTITY_WORLD;
}
