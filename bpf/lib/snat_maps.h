// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Translated sources. A mapping is two entries: by the connection as its opener knows it (TUPLE_F_OUT), with the
 * source that it has outside; and by the replies as they come in (TUPLE_F_IN), with where they go. What NodePorts
 * translate the other way round is one entry, TUPLE_F_OUT, by the backend's replies. Written by the programs of node
 * devices and of cilium_host; the kernel evicts the least recently used.
 */
#ifndef __LIB_SNAT_MAPS_H
#define __LIB_SNAT_MAPS_H

#include "conntrack_maps.h"
#include "hash.h"

/* `flags` of a tuple: which of a mapping's entries. */
#define TUPLE_F_OUT 0
#define TUPLE_F_IN 1

/* `flags` of an entry, beside TCP's CT_F_*. */
#define SNAT_F_ONE_WAY (1 << 16) /* has no entry for replies: it is for replies itself */

struct ipv4_nat_entry {
	__u64 created; /* seconds of the monotonic clock, as last_used */
	__u32 last_used;
	__u32 flags;
	addr_v4 to_addr;
	__be16 to_port;
	__u16 pad;
};

_Static_assert(sizeof(struct ipv4_nat_entry) == 24, "IPv4 source NAT value is 24 bytes");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, struct ipv4_ct_tuple);
	__type(value, struct ipv4_nat_entry);
} cilium_snat_v4_external SEC(".maps");

struct ipv6_nat_entry {
	__u64 created;
	__u32 last_used;
	__u32 flags;
	addr_v6 to_addr;
	__be16 to_port;
	__u16 pad[3];
};

_Static_assert(sizeof(struct ipv6_nat_entry) == 40, "IPv6 source NAT value is 40 bytes");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, struct ipv6_ct_tuple);
	__type(value, struct ipv6_nat_entry);
} cilium_snat_v6_external SEC(".maps");

/* The names that F() finds. */
#define snat_entry_v4 ipv4_nat_entry
#define snat_entry_v6 ipv6_nat_entry
#define snat_map_v4 cilium_snat_v4_external
#define snat_map_v6 cilium_snat_v6_external

/*
 * Ports, and echo identifiers, that translated sources get: below those that the node's own sockets take by
 * themselves (net.ipv4.ip_local_port_range), below NodePorts, and above the well-known ones.
 */
#define SNAT_PORT_MIN 1024
#define SNAT_PORT_MAX 29999

/* How many ports are tried. With nine of ten taken, one connection in thirty finds none. */
#define SNAT_TRIES 32

/* Seconds that a port rests after its connection was closed: as long as the other side may wait for stragglers. */
#define SNAT_TIME_WAIT_S 60

/* One of the ports, host order. */
static __always_inline __u16 snat_port(__u64 hash)
{
	return SNAT_PORT_MIN + hash_below(hash, SNAT_PORT_MAX - SNAT_PORT_MIN + 1);
}

/* How long a mapping is kept for without traffic; after that somebody else may have its port. */
static __always_inline __u32 snat_lifetime(__u8 protocol, __u32 flags)
{
	if (protocol == IPPROTO_TCP && (flags & CT_F_CLOSED) == CT_F_CLOSED)
		return SNAT_TIME_WAIT_S;
	return ct_timeout(protocol, (__u16)flags);
}

/* Flags of an entry after a packet. A SYN begins anew what both sides had closed. */
static __always_inline __u32 snat_flags(__u32 flags, const struct pkt_l4 *l4, int way)
{
	if (l4->protocol != IPPROTO_TCP || l4->fragment == FRAGMENT_LATER)
		return flags;
	if (tcp_is_syn(l4) && (flags & CT_F_CLOSED) == CT_F_CLOSED)
		flags &= SNAT_F_ONE_WAY;
	return (flags & SNAT_F_ONE_WAY) | ct_tcp_flags((__u16)flags, l4->tcp_flags, way);
}

#endif
