// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Services: frontends, their backends, and the way back. Once for each family (family_v4.h). All but the last are
 * written by the services reconciler.
 */
#include "lb_shared.h"

struct F(lb_key) {
	F(addr) address;
	__be16 dport;
	__u16 backend_slot; /* 0: the frontend itself; 1..count: its backends; then the quarantined ones */
	__u8 proto;
	__u8 scope; /* 0: external */
	__u8 pad[2];
};

struct F(lb_service) {
	__u32 backend_id; /* slot 0: lb_affinity_timeout(), lb_algorithm() */
	__u16 count;	  /* in slot 0 */
	__u16 rev_nat_index;
	__u8 flags; /* LB_F_* */
	__u8 flags2;
	__u16 qcount; /* in slot 0: quarantined backends */
};

struct F(lb_backend) {
	F(addr) address;
	__be16 port;
	__u8 proto;
	__u8 flags; /* LB_BACKEND_* */
	__u16 cluster_id;
	__u8 zone;
	__u8 pad;
};

struct F(lb_reverse_nat) {
	F(addr) address;
	__be16 port;
} __attribute__((packed));

/* A client of a frontend: an address, or a network namespace of this machine, whose sockets have none yet. */
struct F(lb_affinity_key) {
	union {
		F(addr) address;
		__u64 netns_cookie;
	} client;
	__u16 rev_nat_index;
	__u8 by_cookie; /* which of the two it is */
	__u8 pad[5];
};

#if IPV == 4
_Static_assert(sizeof(struct lb_key_v4) == 12, "service key is 12 bytes");
_Static_assert(sizeof(struct lb_backend_v4) == 12, "backend value is 12 bytes");
_Static_assert(sizeof(struct lb_reverse_nat_v4) == 6, "reverse NAT value is 6 bytes");
_Static_assert(sizeof(struct lb_affinity_key_v4) == 16, "affinity key is 16 bytes");
#else
_Static_assert(sizeof(struct lb_key_v6) == 24, "service key is 24 bytes");
_Static_assert(sizeof(struct lb_backend_v6) == 24, "backend value is 24 bytes");
_Static_assert(sizeof(struct lb_reverse_nat_v6) == 18, "reverse NAT value is 18 bytes");
_Static_assert(sizeof(struct lb_affinity_key_v6) == 24, "affinity key is 24 bytes");
#endif
_Static_assert(sizeof(struct F(lb_service)) == 12, "service value is 12 bytes");

/* Frontends and their backend slots. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct F(lb_key));
	__type(value, struct F(lb_service));
} F(lb_services_map) SEC(".maps");

/* Backend id to address and port. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct F(lb_backend));
} F(lb_backends_map) SEC(".maps");

/* Reverse NAT index to the frontend that the client knows. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u16);
	__type(value, struct F(lb_reverse_nat));
} F(lb_reverse_nat_map) SEC(".maps");

/* Who served a client of a frontend with session affinity last. Written where a backend is chosen. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct F(lb_affinity_key));
	__type(value, struct lb_affinity_val);
} F(lb_affinity_map) SEC(".maps");
