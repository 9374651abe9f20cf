// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Whose address is this? PRIVATE to the datapath. */
#ifndef __WAGGLE_INTERNAL_IPCACHE_H
#define __WAGGLE_INTERNAL_IPCACHE_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Reserved identities; pods are numbered from 256. */
#define IDENTITY_UNKNOWN 0
#define IDENTITY_HOST 1
#define IDENTITY_WORLD 2

#define ADDRESS_FAMILY_V4 1

struct ipcache_key {
	__u32 prefixlen; /* bits of what follows */
	__u16 cluster_id;
	__u8 pad;
	__u8 family;
	union {
		__be32 ip4;
		__u8 ip[16];
	};
};

struct remote_endpoint_info {
	__u32 sec_id;
	__u8 tunnel_endpoint[16];
	__u16 pad;
	__u8 key;
	__u8 flags;
};

_Static_assert(sizeof(struct ipcache_key) == 24, "ipcache key is 24 bytes");
_Static_assert(sizeof(struct remote_endpoint_info) == 24, "ipcache value is 24 bytes");

/* cluster_id, pad and family come before the address and always match in full. */
#define IPCACHE_STATIC_BITS 32

/* Address prefixes to identities. Written by the ipcache reconciler. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 512000);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ipcache_key);
	__type(value, struct remote_endpoint_info);
} cilium_ipcache SEC(".maps");

/* Identity of an IPv4 address (network order): world when nobody claimed it. */
static __always_inline __u32 identity_of_v4(__be32 addr)
{
	struct ipcache_key key = {
		.prefixlen = IPCACHE_STATIC_BITS + 32,
		.family = ADDRESS_FAMILY_V4,
		.ip4 = addr,
	};
	const struct remote_endpoint_info *info = bpf_map_lookup_elem(&cilium_ipcache, &key);

	return info && info->sec_id ? info->sec_id : IDENTITY_WORLD;
}

#endif
