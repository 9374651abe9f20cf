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

/* The live entry under a key, or NULL. */
static __always_inline struct ct_entry *F(ct_get)(const struct F(ct_tuple) *key, const struct F(pkt) *pkt, __u32 now)
{
	struct ct_entry *entry = bpf_map_lookup_elem(&F(ct_map), key);

	return likely(entry && ct_alive(entry, &pkt->l4, now)) ? entry : (void *)0;
}

/* The same, if it is known in a view of the endpoint that came in second `came`. */
static __always_inline struct ct_entry *F(ct_find)(const struct F(ct_tuple) *key, const struct F(pkt) *pkt, int view,
						   __u32 came, __u32 now)
{
	struct ct_entry *entry = F(ct_get)(key, pkt, now);

	return entry && ct_view_is(entry->since[view], came) ? entry : (void *)0;
}

/*
 * The connection that an ICMP error speaks of, and the view that it is known in. The quoted packet went the other way:
 * out of the pod when the error comes in. It belongs to a connection of that direction, or is itself a reply of the
 * other.
 */
static __always_inline struct ct_entry *F(ct_find_related)(struct __sk_buff *ctx, const struct F(pkt) *pkt, int own,
							   int other, __u32 came, __u32 now, int *view)
{
	struct F(ct_tuple) key;
	struct F(quoted) quoted;
	struct ct_entry *entry;

	if (F(quoted_parse)(ctx, pkt->l4.off + ICMP_HLEN, &quoted))
		return (void *)0;
	F(ct_key)(&key, &quoted.pkt, TUPLE_F_CONNECTION);
	entry = F(ct_find)(&key, &quoted.pkt, other, came, now);
	*view = other;
	if (entry)
		return entry;
	F(ct_reply_key)(&key, &quoted.pkt, TUPLE_F_CONNECTION);
	*view = own;
	return F(ct_find)(&key, &quoted.pkt, own, came, now);
}

/*
 * Finds the packet's connection, accounts the packet to it, and notes in the state what it is. `entry` is set to the
 * connection, or NULL for a new one; creating that is up to the policy stage.
 *
 * A packet is a reply before it is anything else. CT_B_GUESSED allows to ask first for what its ports make likely, which
 * saves most packets a lookup, and new connections cold ones: for pods that enforce nothing, where it decides only which
 * one is meant of two connections that have the same addresses and ports, each opened by the other side.
 */
static __always_inline void F(ct_lookup)(struct __sk_buff *ctx, const struct F(pkt) *pkt, struct pkt_state *st,
					 int dir, __u32 came, struct ct_entry **entry)
{
	int own_view = dir == DIR_INGRESS ? CT_IN : CT_OUT, other_view = !own_view, view = own_view;
	/* A bare SYN is nobody's reply, whatever connection had its ports before. */
	_Bool opens = tcp_is_syn(&pkt->l4);
	_Bool own = opens || (st->ct_bits & CT_B_GUESSED && ct_is_request_like(&pkt->l4));
	__u32 now = journey_now(st);
	struct F(ct_tuple) key;

	if (unlikely(pkt->l4.icmp_error)) {
		*entry = F(ct_find_related)(ctx, pkt, own_view, other_view, came, now, &view);
		ct_note(st, *entry ? CT_STATE_RELATED : CT_STATE_NEW, *entry, view);
		return;
	}
	st->ct_other = 0;
	for (int tries = 0; tries < 2; tries++, own = !own) {
		view = own ? own_view : other_view;
		if (own)
			F(ct_key)(&key, pkt, TUPLE_F_CONNECTION);
		else
			F(ct_reply_key)(&key, pkt, TUPLE_F_CONNECTION);
		*entry = F(ct_get)(&key, pkt, now);
		if (likely(*entry && ct_view_is((*entry)->since[view], came))) {
			if (!(st->ct_bits & CT_B_COUNTED))
				ct_touch(*entry, ctx, &pkt->l4, own ? CT_TX : CT_RX, now);
			st->ct_bits |= CT_B_COUNTED | (own ? CT_B_TX : CT_B_RX);
			ct_note(st, own ? CT_STATE_ESTABLISHED : CT_STATE_REPLY, *entry, view);
			if (st->ct_bits & CT_B_GUESSED && ct_is_over(*entry, &pkt->l4))
				st->ct_bits |= CT_B_OVER;
			return;
		}
		if (own && *entry) {
			st->ct_bits |= CT_B_JOIN;
			st->ct_other = (*entry)->since[other_view];
		}
		if (opens)
			break;
	}
	*entry = (void *)0;
	st->ct_bits |= CT_B_TX;
	ct_note(st, CT_STATE_NEW, (void *)0, own_view);
}

/* Adds the view of its own to an entry that is there already. False: it is not there any more. */
static __always_inline _Bool F(ct_join)(struct __sk_buff *ctx, const struct F(ct_tuple) *key, const struct F(pkt) *pkt,
					struct pkt_state *st, int view)
{
	struct ct_entry *entry = bpf_map_lookup_elem(&F(ct_map), key);
	__u32 now = journey_now(st);

	if (!entry)
		return 0;
	if (!(st->ct_bits & CT_B_COUNTED))
		ct_touch(entry, ctx, &pkt->l4, CT_TX, now);
	if (view == CT_OUT)
		ct_update_nat(entry, st);
	entry->since[view] = now;
	return 1;
}

/* Remembers a connection that policy has allowed. 0 or DROP_CT_CREATE_FAILED. */
static __always_inline int F(ct_create)(struct __sk_buff *ctx, const struct F(pkt) *pkt,
					struct pkt_state *st, int dir)
{
	int view = dir == DIR_INGRESS ? CT_IN : CT_OUT;
	struct F(ct_tuple) key;
	struct ct_entry entry;

	/* Nothing can follow an error or a reset that belongs to no connection. */
	if (pkt->l4.icmp_error || pkt->l4.tcp_flags & TCP_RST)
		return 0;
	F(ct_key)(&key, pkt, TUPLE_F_CONNECTION);
	if (st->ct_bits & CT_B_JOIN && F(ct_join)(ctx, &key, pkt, st, view)) {
		st->ct_bits |= CT_B_COUNTED;
		return 0;
	}
	ct_init(&entry, ctx, &pkt->l4, view, journey_now(st));
	entry.src_sec_id = st->src_identity;
	if (view == CT_OUT)
		ct_update_nat(&entry, st);
	st->ct_bits |= CT_B_COUNTED | CT_B_JOIN; /* for the other end, when that is a pod of this node */
	return bpf_map_update_elem(&F(ct_map), &key, &entry, BPF_ANY) ? DROP_CT_CREATE_FAILED : 0;
}

/*
 * Remembers a connection that nobody knows yet and that no rules of either end are about, for both ends at once. 0 or
 * DROP_CT_CREATE_FAILED.
 */
static __always_inline int F(ct_create_known)(struct __sk_buff *ctx, const struct F(pkt) *pkt, struct pkt_state *st)
{
	__u32 now = journey_now(st);
	struct F(ct_tuple) key;
	struct ct_entry entry;

	F(ct_key)(&key, pkt, TUPLE_F_CONNECTION);
	ct_init(&entry, ctx, &pkt->l4, CT_OUT, now);
	entry.since[CT_IN] = now;
	entry.src_sec_id = st->src_identity;
	ct_update_nat(&entry, st);
	st->ct_bits |= CT_B_COUNTED;
	return bpf_map_update_elem(&F(ct_map), &key, &entry, BPF_ANY) ? DROP_CT_CREATE_FAILED : 0;
}

/*
 * Forgets a connection with its last packet, where no rules depend on knowing it (CT_B_GUESSED): the next one takes over
 * its place in the map while that is in the processor's cache. For connections between pods, asked where the packet
 * leaves their stages.
 */
static __always_inline void F(ct_forget)(const struct __sk_buff *ctx, const struct pkt_state *st)
{
	struct F(ct_tuple) key;

	if (likely(!(st->ct_bits & CT_B_OVER)) || ctx->cb[PARSED_CB] != IPV)
		return;
	if (st->ct_state == CT_STATE_REPLY)
		F(ct_reply_key)(&key, &st->F(pkt), TUPLE_F_CONNECTION);
	else
		F(ct_key)(&key, &st->F(pkt), TUPLE_F_CONNECTION);
	bpf_map_delete_elem(&F(ct_map), &key);
}

/*
 * Notes whether policy turns a known connection down. The entry stays while it does: without it, the first
 * packet that the other side sends again would pass for a connection of its own, and open the way for replies.
 */
static __always_inline void F(ct_set_denied)(const struct F(pkt) *pkt, __u8 dir, _Bool denied)
{
	int view = dir == DIR_INGRESS ? CT_IN : CT_OUT;
	struct F(ct_tuple) key;
	struct ct_entry *entry;

	F(ct_key)(&key, pkt, TUPLE_F_CONNECTION);
	entry = bpf_map_lookup_elem(&F(ct_map), &key);
	if (!entry)
		return;
	if (denied)
		entry->since[view] |= CT_SINCE_DENIED;
	else
		entry->since[view] &= ~CT_SINCE_DENIED;
}
