// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Whose address is this? PRIVATE to the datapath. */
#ifndef __WAGGLE_INTERNAL_IPCACHE_H
#define __WAGGLE_INTERNAL_IPCACHE_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <waggle/internal/addr.h>

/* Reserved identities are those below IDENTITY_POD_MIN. */
#define IDENTITY_UNKNOWN 0
#define IDENTITY_HOST 1
#define IDENTITY_WORLD 2
#define IDENTITY_UNMANAGED 3 /* in a pod CIDR of the cluster, and no pod that is known */
#define IDENTITY_REMOTE_NODE 6
#define IDENTITY_SERVICE 128 /* in a service network, or the address of a service */
#define IDENTITY_POD_MIN 256

#define ADDRESS_FAMILY_V4 1
#define ADDRESS_FAMILY_V6 2

struct ipcache_key {
	__u32 prefixlen; /* bits of what follows */
	__u16 cluster_id;
	__u8 pad;
	__u8 family;
	union ip_addr addr;
};

struct remote_endpoint_info {
	__u32 sec_id;
	__be32 tunnel_ipv4; /* node that the address is behind; 0: this one, or none */
	__u8 tunnel_rest[12];
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

/* What is known of an address: the entry of the longest prefix, or NULL. */
static __always_inline const struct remote_endpoint_info *ipcache_lookup_v4(addr_v4 addr)
{
	struct ipcache_key key = {
		.prefixlen = IPCACHE_STATIC_BITS + 32,
		.family = ADDRESS_FAMILY_V4,
		.addr.ip_v4 = addr,
	};

	return bpf_map_lookup_elem(&cilium_ipcache, &key);
}

static __always_inline const struct remote_endpoint_info *ipcache_lookup_v6(addr_v6 addr)
{
	struct ipcache_key key = {
		.prefixlen = IPCACHE_STATIC_BITS + 128,
		.family = ADDRESS_FAMILY_V6,
		.addr.ip_v6 = addr,
	};

	return bpf_map_lookup_elem(&cilium_ipcache, &key);
}

/* The identity that an entry of the table gives: world when nobody claimed the address. */
static __always_inline __u32 ipcache_identity(const struct remote_endpoint_info *info)
{
	return info && info->sec_id ? info->sec_id : IDENTITY_WORLD;
}

static __always_inline __u32 identity_of_v4(addr_v4 addr)
{
	return ipcache_identity(ipcache_lookup_v4(addr));
}

static __always_inline __u32 identity_of_v6(addr_v6 addr)
{
	return ipcache_identity(ipcache_lookup_v6(addr));
}

#endif
