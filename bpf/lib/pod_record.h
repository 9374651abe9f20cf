// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What is known of this node's pods, and how it is found without asking a hash table again. */
#ifndef __LIB_POD_RECORD_H
#define __LIB_POD_RECORD_H

#include <waggle/internal/self.h>
#include <bpf/bpf_endian.h>

#define POD_HINTS 4096

/*
 * Endpoint ids that a look-up gave before, by the low bits of what was looked up: a device's index, or an address. A pod
 * knows its own device and addresses, so a wrong hint is seen. Each set of programs has its own.
 */
struct pod_hints {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, POD_HINTS);
	__type(key, __u32);
	__type(value, __u32);
};

/* Where and as whom a pod of this node gets its packets. */
struct pod_place {
	__u64 mac;	/* of the pod's end of its pair of devices */
	__u64 node_mac; /* of the node's end */
	__u32 identity;
	__u16 id;
};

/* Whose an address is, of this node's. */
#define HERE_NOBODY 0
#define HERE_NODE 1
#define HERE_POD 2

static __always_inline const struct endpoint_config *pod_by_id(__u32 id)
{
	return bpf_map_lookup_elem(&waggle_endpoints, &id);
}

static __always_inline addr_v4 pod_ip_v4(const struct endpoint_config *pod)
{
	return pod->ipv4;
}

static __always_inline addr_v6 pod_ip_v6(const struct endpoint_config *pod)
{
	return pod->ipv6;
}

static __always_inline __u32 pod_hint_slot_v4(addr_v4 addr)
{
	return bpf_ntohl(addr) % POD_HINTS;
}

static __always_inline __u32 pod_hint_slot_v6(addr_v6 addr)
{
	return (__u32)bpf_be64_to_cpu(addr.word[1]) % POD_HINTS;
}

#endif
