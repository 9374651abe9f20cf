// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Connection entries: lifetimes, TCP states, counters. Independent of the address family.
 *
 * A connection is one entry under the addresses and ports of its first packet. The endpoints at its ends have a view
 * of it each, that of pod A "out" and that of pod B "in": since when it is known there, and whether policy turns it
 * down. Where both are pods of this node, what A's conntrack stage has found is B's as well (ct_take_over()).
 */
#ifndef __LIB_CONNTRACK_H
#define __LIB_CONNTRACK_H

#include <linux/in.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <waggle/internal/branch.h>
#include <waggle/internal/l4.h>
#include <waggle/internal/state.h>
#include "clock.h"
#include "config_ct.h"

/* `flags` of a tuple: what its entry is. */
#define TUPLE_F_CONNECTION 0
#define TUPLE_F_SERVICE 4 /* which backend serves this client of a service */

/* Views of an entry: indexes of `since`. */
#define CT_OUT 0 /* of the endpoint that opened the connection; of who led the client of a service to a backend */
#define CT_IN 1	 /* of the endpoint that was connected to */

/* In `since`: policy of that endpoint turned the connection down at its last packet. */
#define CT_SINCE_DENIED (1U << 31)

/* `flags` of an entry. */
#define CT_F_RX_CLOSING (1 << 0)
#define CT_F_TX_CLOSING (1 << 1)
#define CT_F_SEEN_NON_SYN (1 << 4)
#define CT_F_CLOSED (CT_F_RX_CLOSING | CT_F_TX_CLOSING)

/* Since when there are connections at a node's devices. */
#define CT_SINCE_BOOT 0

/* Which way a packet goes within its connection. */
#define CT_TX 0 /* as the first packet */
#define CT_RX 1 /* back */

struct ct_entry {
	union {
		union ip_addr nat_addr; /* TUPLE_F_OUT: with nat_port, what the client asked for */
		struct {		/* TUPLE_F_SERVICE */
			__u64 backend_id;
			__u64 backend_slot; /* where the frontend named it last; 0: not known */
		};
	};
	__u64 packets; /* with cfg_ct_accounting, and bytes: both ways */
	__u64 bytes;
	__u32 lifetime; /* seconds of the monotonic clock: when it expires */
	__u16 flags;	/* CT_F_* */
	__u16 rev_nat_index;
	__be16 nat_port;
	__u8 tx_flags_seen; /* TCP flags */
	__u8 rx_flags_seen;
	__u32 src_sec_id;
	/*
	 * For each view: the second of the monotonic clock that it began in, and CT_SINCE_DENIED; 0: there is none. Each is
	 * written by the stages of its own endpoint alone.
	 */
	__u32 since[2];
};

_Static_assert(sizeof(struct ct_entry) == 56, "conntrack value is 56 bytes");

static __always_inline __u32 ct_now(void)
{
	return clock_s();
}

/* The same, asked once a tick: between two of them the clock stands still. */
static __always_inline __u32 journey_now(struct pkt_state *st)
{
	__u64 tick = bpf_jiffies64();

	if (unlikely(st->tick != tick || !st->now_s)) {
		st->now_s = clock_s();
		st->tick = tick;
	}
	return st->now_s;
}

static __always_inline _Bool tcp_is_syn(const struct pkt_l4 *l4)
{
	return l4->protocol == IPPROTO_TCP && (l4->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* Does the packet go from a port of clients to one of servers? */
static __always_inline _Bool ct_is_request_like(const struct pkt_l4 *l4)
{
	return bpf_ntohs(l4->sport) > bpf_ntohs(l4->dport);
}

/*
 * Does the entry stand for a connection of this packet? Not when it ran out (it stays until the kernel needs its
 * place), and not when both sides closed it and the packet opens a new one under the same name.
 */
static __always_inline _Bool ct_alive(const struct ct_entry *entry, const struct pkt_l4 *l4, __u32 now)
{
	return (__s32)(entry->lifetime - now) >= 0 &&
	       !(tcp_is_syn(l4) && (entry->flags & CT_F_CLOSED) == CT_F_CLOSED);
}

/*
 * Is there a view, of a word of `since`, of the endpoint that came in second `came`? One from before that is of
 * another pod that had the address.
 */
static __always_inline _Bool ct_view_is(__u32 since, __u32 came)
{
	return since && (__s32)((since & ~CT_SINCE_DENIED) - came) >= 0;
}

static __always_inline __u32 ct_timeout(__u8 protocol, __u16 flags)
{
	if (unlikely(l4_is_icmp(protocol)))
		return cfg_ct_icmp_s;
	if (protocol != IPPROTO_TCP)
		return cfg_ct_udp_s;
	if (unlikely((flags & CT_F_CLOSED) == CT_F_CLOSED))
		return cfg_ct_tcp_close_s;
	return likely(flags & CT_F_SEEN_NON_SYN) ? cfg_ct_tcp_established_s : cfg_ct_tcp_syn_s;
}

/* Flags of an entry after a TCP packet: RST ends both sides, FIN the sender's. */
static __always_inline __u16 ct_tcp_flags(__u16 flags, __u8 tcp_flags, int way)
{
	if (!(tcp_flags & TCP_SYN))
		flags |= CT_F_SEEN_NON_SYN;
	if (unlikely(tcp_flags & TCP_RST))
		flags |= CT_F_CLOSED;
	else if (unlikely(tcp_flags & TCP_FIN))
		flags |= way == CT_TX ? CT_F_TX_CLOSING : CT_F_RX_CLOSING;
	return flags;
}

/*
 * Accounts a packet to its entry. Fields are written only when they change: both sides share the line. The counters change
 * with each packet, and two locked additions take longer than all else here.
 */
static __always_inline void ct_touch(struct ct_entry *entry, const struct __sk_buff *ctx,
				     const struct pkt_l4 *l4, int way, __u32 now)
{
	__u16 flags = entry->flags;
	__u32 lifetime;

	if (unlikely(cfg_ct_accounting)) {
		__sync_fetch_and_add(&entry->packets, 1);
		__sync_fetch_and_add(&entry->bytes, ctx->len);
	}
	if (l4->protocol == IPPROTO_TCP && likely(l4->fragment != FRAGMENT_LATER)) {
		__u8 *seen = way == CT_TX ? &entry->tx_flags_seen : &entry->rx_flags_seen;

		if (unlikely(~*seen & l4->tcp_flags))
			*seen |= l4->tcp_flags;
		flags = ct_tcp_flags(flags, l4->tcp_flags, way);
		if (unlikely(flags != entry->flags))
			entry->flags = flags;
	}
	lifetime = now + ct_timeout(l4->protocol, flags);
	if (unlikely(entry->lifetime != lifetime))
		entry->lifetime = lifetime;
}

/* An entry for the first packet of a connection, known in one view. */
static __always_inline void ct_init(struct ct_entry *entry, const struct __sk_buff *ctx,
				    const struct pkt_l4 *l4, int view, __u32 now)
{
	__builtin_memset(entry, 0, sizeof(*entry));
	if (l4->protocol == IPPROTO_TCP) {
		entry->flags = ct_tcp_flags(0, l4->tcp_flags, CT_TX);
		entry->tx_flags_seen = l4->tcp_flags;
	}
	if (cfg_ct_accounting) {
		entry->packets = 1;
		entry->bytes = ctx->len;
	}
	entry->lifetime = now + ct_timeout(l4->protocol, entry->flags);
	entry->since[view] = now;
}

/*
 * Is a connection over with this packet, a reset, or what acknowledges its end when both sides have closed it? Nobody
 * waits for anything then. What is translated is kept: should the packet get lost, its like needs the translation once
 * more.
 */
static __always_inline _Bool ct_is_over(const struct ct_entry *entry, const struct pkt_l4 *l4)
{
	if (l4->protocol != IPPROTO_TCP || likely((entry->flags & CT_F_CLOSED) != CT_F_CLOSED) || entry->nat_port ||
	    entry->rev_nat_index)
		return 0;
	return l4->tcp_flags & TCP_RST || (l4->tcp_flags & (TCP_SYN | TCP_FIN | TCP_ACK)) == TCP_ACK;
}

/* Notes what a packet is (CT_STATE_*), and how its connection, if there is one, stands in a view and in the other. */
static __always_inline void ct_note(struct pkt_state *st, __u8 state, const struct ct_entry *entry, int view)
{
	st->ct_state = state;
	if (!entry)
		return;
	if (unlikely(entry->since[view] & CT_SINCE_DENIED))
		st->ct_bits |= CT_B_DENIED;
	st->ct_other = entry->since[!view];
}

/*
 * What the packet is for the pod that it goes to, from what the stages of the pod that it comes from have found: the
 * connection is one entry. False: it takes a look-up. `came`: second in which the pod came; `enforces`: it has rules.
 */
static __always_inline _Bool ct_take_over(struct pkt_state *st, __u32 came, _Bool enforces)
{
	_Bool known = ct_view_is(st->ct_other, came);

	if (enforces && st->ct_bits & CT_B_GUESSED)
		return 0;
	if (st->ct_bits & CT_B_RX) {
		if (!known)
			return 0;
		st->ct_state = CT_STATE_REPLY;
	} else if (st->ct_bits & CT_B_TX) {
		st->ct_state = known ? CT_STATE_ESTABLISHED : CT_STATE_NEW;
		st->rev_nat_index = 0; /* the sender's */
		st->nat_port = 0;
	} else {
		return 0;
	}
	st->ct_bits &= ~CT_B_DENIED;
	if (unlikely(known && st->ct_other & CT_SINCE_DENIED))
		st->ct_bits |= CT_B_DENIED;
	return 1;
}

/* Egress: notes how replies are to be translated. A service may have come back under another index. */
static __always_inline void ct_update_nat(struct ct_entry *entry, const struct pkt_state *st)
{
	if (unlikely(entry->rev_nat_index != st->rev_nat_index))
		entry->rev_nat_index = st->rev_nat_index;
	if (unlikely(entry->nat_port != st->nat_port ||
		     (st->nat_port && !addr_equal_v6(entry->nat_addr.ip_v6, st->nat_addr.ip_v6)))) {
		entry->nat_addr = st->nat_addr;
		entry->nat_port = st->nat_port;
	}
}

/* What ct_update_nat() noted, for the endpoint that gets a reply, or an error about the connection of `entry`. */
static __always_inline void ct_recall_nat(const struct ct_entry *entry, struct pkt_state *st)
{
	st->rev_nat_index = 0;
	st->nat_port = 0;
	if (!entry || (st->ct_state != CT_STATE_REPLY && st->ct_state != CT_STATE_RELATED))
		return;
	st->rev_nat_index = entry->rev_nat_index;
	st->nat_port = entry->nat_port;
	if (unlikely(st->nat_port))
		st->nat_addr = entry->nat_addr;
}

#endif
