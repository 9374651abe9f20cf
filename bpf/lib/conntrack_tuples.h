// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Connection tracking: tuples, lookup, creation, ICMP errors. Once for each family (family_v4.h).
 */
#include "conntrack.h"
#include "conntrack_maps.h"
#include "quoted_v4.h"
#include "quoted_v6.h"

static __always_inline void F(ct_key)(struct F(ct_tuple) *key, const struct F(pkt) *pkt, __u8 flags)
{
	key->daddr = pkt->daddr;
	key->saddr = pkt->saddr;
	key->dport = pkt->l4.dport;
	key->sport = pkt->l4.sport;
	key->nexthdr = pkt->l4.protocol;
	key->flags = flags;
}

/* The key of the connection that this packet would be a reply of. */
static __always_inline void F(ct_reply_key)(struct F(ct_tuple) *key, const struct F(pkt) *pkt,
					    __u8 flags)
{
	key->daddr = pkt->saddr;
	key->saddr = pkt->daddr;
	key->dport = pkt->l4.sport;
	key->sport = pkt->l4.dport;
	key->nexthdr = pkt->l4.protocol;
	key->flags = flags;
}

/* The live entry under a key, or NULL. `since`: see ct_alive(). */
static __always_inline struct ct_entry *F(ct_find)(const struct F(ct_tuple) *key,
						   const struct F(pkt) *pkt, __u32 since, __u32 now)
{
	struct ct_entry *entry = bpf_map_lookup_elem(&F(ct_map), key);

	return entry && ct_alive(entry, &pkt->l4, since, now) ? entry : (void *)0;
}

/*
 * The connection that an ICMP error speaks of. The quoted packet went the other way: out of the pod when the
 * error comes in. It belongs to a connection of that direction, or is itself a reply of the other.
 */
static __always_inline struct ct_entry *F(ct_find_related)(struct __sk_buff *ctx,
							   const struct F(pkt) *pkt, __u8 dir, __u32 since,
							   __u32 now)
{
	__u8 quoted_view = dir == DIR_INGRESS ? TUPLE_F_OUT : TUPLE_F_IN;
	__u8 other_view = dir == DIR_INGRESS ? TUPLE_F_IN : TUPLE_F_OUT;
	struct F(ct_tuple) key;
	struct F(quoted) quoted;
	struct ct_entry *entry;

	if (F(quoted_parse)(ctx, pkt->l4.off + ICMP_HLEN, &quoted))
		return (void *)0;
	F(ct_key)(&key, &quoted.pkt, quoted_view);
	entry = F(ct_find)(&key, &quoted.pkt, since, now);
	if (entry)
		return entry;
	F(ct_reply_key)(&key, &quoted.pkt, other_view);
	return F(ct_find)(&key, &quoted.pkt, since, now);
}

/*
 * Finds the packet's connection, accounts the packet to it, and says what it is (CT_STATE_*). `entry` is set
 * to the connection, or NULL for a new one; creating that is up to the policy stage.
 *
 * A packet is a reply before it is anything else. `guess` allows to ask first for what its ports make likely, which
 * saves most packets a lookup, and new connections cold ones: for pods that enforce nothing, where it decides only which
 * one is meant of two connections that have the same addresses and ports, each opened by the other side.
 */
static __always_inline __u8 F(ct_lookup)(struct __sk_buff *ctx, const struct F(pkt) *pkt, __u8 dir, _Bool guess,
					 __u32 since, __u32 now, struct ct_entry **entry)
{
	__u8 own_view = dir == DIR_INGRESS ? TUPLE_F_IN : TUPLE_F_OUT;
	__u8 reply_view = dir == DIR_INGRESS ? TUPLE_F_OUT : TUPLE_F_IN;
	/* A bare SYN is nobody's reply, whatever connection had its ports before. */
	_Bool opens = tcp_is_syn(&pkt->l4);
	_Bool own = opens || (guess && ct_is_request_like(&pkt->l4));
	struct F(ct_tuple) key;

	if (pkt->l4.icmp_error) {
		*entry = F(ct_find_related)(ctx, pkt, dir, since, now);
		return *entry ? CT_STATE_RELATED : CT_STATE_NEW;
	}
	for (int tries = 0; tries < 2; tries++, own = !own) {
		if (own)
			F(ct_key)(&key, pkt, own_view);
		else
			F(ct_reply_key)(&key, pkt, reply_view);
		*entry = F(ct_find)(&key, pkt, since, now);
		if (*entry) {
			ct_touch(*entry, ctx, &pkt->l4, own ? CT_TX : CT_RX, now);
			return own ? CT_STATE_ESTABLISHED : CT_STATE_REPLY;
		}
		if (opens)
			break;
	}
	return CT_STATE_NEW;
}

/* Remembers a connection that policy has allowed. 0 or DROP_CT_CREATE_FAILED. */
static __always_inline int F(ct_create)(struct __sk_buff *ctx, const struct F(pkt) *pkt,
					struct pkt_state *st)
{
	struct F(ct_tuple) key;
	struct ct_entry entry;

	/* Nothing can follow an error or a reset that belongs to no connection. */
	if (pkt->l4.icmp_error || pkt->l4.tcp_flags & TCP_RST)
		return 0;
	F(ct_key)(&key, pkt, st->direction == DIR_INGRESS ? TUPLE_F_IN : TUPLE_F_OUT);
	ct_init(&entry, ctx, &pkt->l4, journey_now(st));
	entry.src_sec_id = st->src_identity;
	if (st->direction == DIR_EGRESS)
		ct_update_nat(&entry, st);
	return bpf_map_update_elem(&F(ct_map), &key, &entry, BPF_ANY) ? DROP_CT_CREATE_FAILED : 0;
}

/*
 * Notes whether policy turns a known connection down. The entry stays while it does: without it, the first
 * packet that the other side sends again would pass for a connection of its own, and open the way for replies.
 */
static __always_inline void F(ct_set_denied)(const struct F(pkt) *pkt, __u8 dir, _Bool denied)
{
	struct F(ct_tuple) key;
	struct ct_entry *entry;

	F(ct_key)(&key, pkt, dir == DIR_INGRESS ? TUPLE_F_IN : TUPLE_F_OUT);
	entry = bpf_map_lookup_elem(&F(ct_map), &key);
	if (!entry)
		return;
	if (denied)
		entry->flags |= CT_F_DENIED;
	else
		entry->flags &= ~CT_F_DENIED;
}
