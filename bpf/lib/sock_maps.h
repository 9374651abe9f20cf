// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What sockets asked for before they were led to a backend. Once for each family (family_v4.h). */
#include "sock_shared.h"

struct F(lb_reverse_sk_key) {
	__u64 cookie; /* of the socket */
	F(addr) address;
	__be16 port;
#if IPV == 4
	__u8 pad[2];
#else
	__u8 pad[6];
#endif
};

struct F(lb_reverse_sk) {
	F(addr) address;
	__be16 port;
	__u16 rev_nat_index;
} __attribute__((packed, aligned(4)));

#if IPV == 4
_Static_assert(sizeof(struct lb_reverse_sk_key_v4) == 16, "IPv4 socket key is 16 bytes");
_Static_assert(sizeof(struct lb_reverse_sk_v4) == 8, "IPv4 socket value is 8 bytes");
#else
_Static_assert(sizeof(struct lb_reverse_sk_key_v6) == 32, "IPv6 socket key is 32 bytes");
_Static_assert(sizeof(struct lb_reverse_sk_v6) == 20, "IPv6 socket value is 20 bytes");
#endif

/* A socket and its backend to the frontend. Written and read by bpf_sock.c; the kernel evicts the least used. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct F(lb_reverse_sk_key));
	__type(value, struct F(lb_reverse_sk));
} F(lb_reverse_sk_map) SEC(".maps");
