// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Services: what is alike in both families. */
#ifndef __LIB_LB_SHARED_H
#define __LIB_LB_SHARED_H

#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <waggle/internal/addr.h>

/* Structs and maps of lb_maps.h under the names that tools know; F(lb_key) finds either. */
#define lb_key_v4 lb4_key
#define lb_key_v6 lb6_key
#define lb_service_v4 lb4_service
#define lb_service_v6 lb6_service
#define lb_backend_v4 lb4_backend
#define lb_backend_v6 lb6_backend
#define lb_reverse_nat_v4 lb4_reverse_nat
#define lb_reverse_nat_v6 lb6_reverse_nat
#define lb_affinity_key_v4 lb4_affinity_key
#define lb_affinity_key_v6 lb6_affinity_key
#define lb_services_map_v4 cilium_lb4_services_v2
#define lb_services_map_v6 cilium_lb6_services_v2
#define lb_backends_map_v4 cilium_lb4_backends_v2
#define lb_backends_map_v6 cilium_lb6_backends_v3
#define lb_reverse_nat_map_v4 cilium_lb4_reverse_nat
#define lb_reverse_nat_map_v6 cilium_lb6_reverse_nat
#define lb_affinity_map_v4 cilium_lb4_affinity
#define lb_affinity_map_v6 cilium_lb6_affinity

/* `flags` of a frontend (slot 0). */
#define LB_F_EXTERNAL_IP 0x01
#define LB_F_NODEPORT 0x02
#define LB_F_AFFINITY 0x10
#define LB_F_LOAD_BALANCER 0x20
#define LB_F_OUTSIDE (LB_F_EXTERNAL_IP | LB_F_NODEPORT | LB_F_LOAD_BALANCER) /* served to the network */

/* `flags` of a backend: its state. */
#define LB_BACKEND_ACTIVE 0
#define LB_BACKEND_TERMINATING 1 /* keeps its TCP connections */
#define LB_BACKEND_QUARANTINED 2 /* keeps what it has */
#define LB_BACKEND_MAINTENANCE 3 /* gets nothing */

/* Ports of frontends that every node has on its addresses. */
#define LB_NODEPORT_MIN 30000
#define LB_NODEPORT_MAX 32767

#define LB_ALGORITHM_MAGLEV 2
#define LB_MAGLEV_SIZE 4093

/* How many slots are looked at before a service counts as one without backends. */
#define LB_TRIES 64

/*
 * Who a pod appears to be when a service leads it to itself: its own address as the source would be refused by
 * the pod's stack. Addresses that nobody else has: a link-local one of IPv4 (RFC 3927), which a pod sends to its
 * router all the same, and one of a random unique local prefix of IPv6 (RFC 4193).
 */
#define LB_LOOPBACK_V4 bpf_htonl(0xa9fe2a01) /* 169.254.42.1 */
#define LB_LOOPBACK_PREFIX_V6 bpf_cpu_to_be64(0xfd9d3c5ea7c10000ULL)
#define LB_LOOPBACK_HOST_V6 bpf_cpu_to_be64(1) /* fd9d:3c5e:a7c1::1 */

struct lb_affinity_val {
	__u64 last_used; /* seconds of the monotonic clock */
	__u32 backend_id;
	__u32 pad;
};

struct lb_affinity_match {
	__u32 backend_id;
	__u16 rev_nat_index;
	__u16 pad;
};

struct lb_maglev {
	__u32 backends[LB_MAGLEV_SIZE];
};

_Static_assert(sizeof(struct lb_affinity_val) == 16, "affinity value is 16 bytes");
_Static_assert(sizeof(struct lb_affinity_match) == 8, "affinity match key is 8 bytes");

/* Backends that a client with affinity may be kept at. Written by the services reconciler. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lb_affinity_match);
	__type(value, __u8);
} cilium_lb_affinity_match SEC(".maps");

/*
 * Reverse NAT index to the lookup table of a frontend with Maglev. A whole table is one value, so that packets
 * see the old one or the new one. Written by the services reconciler.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u16);
	__type(value, struct lb_maglev);
} waggle_lb_maglev SEC(".maps");

/* A backend as it was chosen. */
struct lb_choice {
	__u32 id;
	__u16 slot; /* where the frontend names it; 0: not known */
};

/* Slot 0 keeps seconds of affinity in the low 24 bits and the algorithm in the high byte of `backend_id`. */
static __always_inline __u32 lb_affinity_timeout(__u32 parameters)
{
	return parameters & 0xffffff;
}

static __always_inline __u8 lb_algorithm(__u32 parameters)
{
	return parameters >> 24;
}

/* Is the backend one that a client of frontend `rev_nat_index` may be kept at? */
static __always_inline _Bool lb_affinity_allows(__u32 backend_id, __u16 rev_nat_index)
{
	struct lb_affinity_match key = {.backend_id = backend_id, .rev_nat_index = rev_nat_index};

	return bpf_map_lookup_elem(&cilium_lb_affinity_match, &key) != (void *)0;
}

static __always_inline addr_v4 lb_loopback_v4(void)
{
	return LB_LOOPBACK_V4;
}

static __always_inline addr_v6 lb_loopback_v6(void)
{
	return (addr_v6){.word = {LB_LOOPBACK_PREFIX_V6, LB_LOOPBACK_HOST_V6}};
}

static __always_inline _Bool lb_is_nodeport(__be16 port)
{
	__u16 number = bpf_ntohs(port);

	return number >= LB_NODEPORT_MIN && number <= LB_NODEPORT_MAX;
}

#endif
