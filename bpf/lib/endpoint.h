// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The addresses of this node: its pods and itself. */
#ifndef __LIB_ENDPOINT_H
#define __LIB_ENDPOINT_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <waggle/internal/ipcache.h>

#define ENDPOINT_F_HOST 1 /* an address of the node itself */

struct endpoint_key {
	union ip_addr addr;
	__u8 family;
	__u8 key;
	__u16 cluster_id;
} __attribute__((packed, aligned(4)));

struct endpoint_info {
	__u32 ifindex; /* of the node's end of the veth pair */
	__u16 unused;
	__u16 lxc_id;
	__u32 flags;
	__u32 pad;
	__u64 mac;	/* of the pod's end */
	__u64 node_mac; /* of the node's end */
	__u32 sec_id;
	__u32 parent_ifindex;
	__u64 pad2;
};

_Static_assert(sizeof(struct endpoint_key) == 20, "endpoint key is 20 bytes");
_Static_assert(sizeof(struct endpoint_info) == 48, "endpoint value is 48 bytes");

/* Address to endpoint. Written by the endpoints reconciler. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65535);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct endpoint_key);
	__type(value, struct endpoint_info);
} cilium_lxc SEC(".maps");

/* The endpoint with this address, or NULL when it is not of this node. */
static __always_inline const struct endpoint_info *endpoint_lookup_v4(addr_v4 addr)
{
	struct endpoint_key key = {.addr.ip_v4 = addr, .family = ADDRESS_FAMILY_V4};

	return bpf_map_lookup_elem(&cilium_lxc, &key);
}

static __always_inline const struct endpoint_info *endpoint_lookup_v6(addr_v6 addr)
{
	struct endpoint_key key = {.addr.ip_v6 = addr, .family = ADDRESS_FAMILY_V6};

	return bpf_map_lookup_elem(&cilium_lxc, &key);
}

static __always_inline _Bool endpoint_is_host(const struct endpoint_info *ep)
{
	return ep->flags & ENDPOINT_F_HOST;
}

#endif
