// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The connections of all pods of this node. Written by their programs; the kernel evicts the least recently used. */
#ifndef __LIB_CONNTRACK_MAPS_H
#define __LIB_CONNTRACK_MAPS_H

#include "conntrack.h"

/* Addresses and ports of a connection's first packet, network order, and TUPLE_F_*. */
struct ipv4_ct_tuple {
	addr_v4 daddr;
	addr_v4 saddr;
	__be16 dport;
	__be16 sport;
	__u8 nexthdr;
	__u8 flags;
} __attribute__((packed, aligned(2)));

_Static_assert(sizeof(struct ipv4_ct_tuple) == 14, "IPv4 conntrack key is 14 bytes");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 512000);
	__type(key, struct ipv4_ct_tuple);
	__type(value, struct ct_entry);
} cilium_ct4_global SEC(".maps");

struct ipv6_ct_tuple {
	addr_v6 daddr;
	addr_v6 saddr;
	__be16 dport;
	__be16 sport;
	__u8 nexthdr;
	__u8 flags;
} __attribute__((packed, aligned(2)));

_Static_assert(sizeof(struct ipv6_ct_tuple) == 38, "IPv6 conntrack key is 38 bytes");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 512000);
	__type(key, struct ipv6_ct_tuple);
	__type(value, struct ct_entry);
} cilium_ct6_global SEC(".maps");

/* The names that F() finds. */
#define ct_tuple_v4 ipv4_ct_tuple
#define ct_tuple_v6 ipv6_ct_tuple
#define ct_map_v4 cilium_ct4_global
#define ct_map_v6 cilium_ct6_global

#endif
