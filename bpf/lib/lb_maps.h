// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Services: frontends, their backends, and the way back. Written by the services reconciler. */
#ifndef __LIB_LB_MAPS_H
#define __LIB_LB_MAPS_H

#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <waggle/internal/addr.h>

struct lb4_key {
	addr_v4 address;
	__be16 dport;
	__u16 backend_slot; /* 0: the frontend itself; 1..count: its backends */
	__u8 proto;
	__u8 scope; /* 0: external */
	__u8 pad[2];
};

struct lb4_service {
	__u32 backend_id; /* in slots from 1 */
	__u16 count;	  /* in slot 0 */
	__u16 rev_nat_index;
	__u8 flags;
	__u8 flags2;
	__u16 qcount;
};

struct lb4_backend {
	addr_v4 address;
	__be16 port;
	__u8 proto;
	__u8 flags;
	__u16 cluster_id;
	__u8 zone;
	__u8 pad;
};

struct lb4_reverse_nat {
	addr_v4 address;
	__be16 port;
} __attribute__((packed));

_Static_assert(sizeof(struct lb4_key) == 12, "service key is 12 bytes");
_Static_assert(sizeof(struct lb4_service) == 12, "service value is 12 bytes");
_Static_assert(sizeof(struct lb4_backend) == 12, "backend value is 12 bytes");
_Static_assert(sizeof(struct lb4_reverse_nat) == 6, "reverse NAT value is 6 bytes");

/* Frontends and their backend slots. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lb4_key);
	__type(value, struct lb4_service);
} cilium_lb4_services_v2 SEC(".maps");

/* Backend id to address and port. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct lb4_backend);
} cilium_lb4_backends_v2 SEC(".maps");

/* Reverse NAT index to the frontend that the client knows. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u16);
	__type(value, struct lb4_reverse_nat);
} cilium_lb4_reverse_nat SEC(".maps");

/* The names that F() finds. */
#define lb_key_v4 lb4_key
#define lb_service_v4 lb4_service
#define lb_backend_v4 lb4_backend
#define lb_reverse_nat_v4 lb4_reverse_nat
#define lb_services_map_v4 cilium_lb4_services_v2
#define lb_backends_map_v4 cilium_lb4_backends_v2
#define lb_reverse_nat_map_v4 cilium_lb4_reverse_nat

/*
 * Who a pod appears to be when a service leads it to itself: its own address as the source would be refused by
 * the pod's stack. Link-local, so nobody else has it (RFC 3927).
 */
#define LB_LOOPBACK_V4 bpf_htonl(0xa9fe2a01) /* 169.254.42.1 */

static __always_inline addr_v4 lb_loopback_v4(void)
{
	return LB_LOOPBACK_V4;
}

#endif
