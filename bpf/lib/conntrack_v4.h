// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Connection tracking of IPv4: tuples, lookup, creation, ICMP errors. */
#ifndef __LIB_CONNTRACK_V4_H
#define __LIB_CONNTRACK_V4_H

#include "conntrack.h"

/* Addresses and ports of a connection's first packet, network order, and whose view (TUPLE_F_*). */
struct ipv4_ct_tuple {
	__be32 daddr;
	__be32 saddr;
	__be16 dport;
	__be16 sport;
	__u8 nexthdr;
	__u8 flags;
} __attribute__((packed));

_Static_assert(sizeof(struct ipv4_ct_tuple) == 14, "conntrack key is 14 bytes");

/* All connections of all pods of this node. Written here; the kernel evicts the least recently used. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 512000);
	__type(key, struct ipv4_ct_tuple);
	__type(value, struct ct_entry);
} cilium_ct4_global SEC(".maps");

/* The packet's headers quoted by an ICMP error: what we need of them and where they are. */
struct quoted_v4 {
	struct pkt_v4 pkt; /* as it was sent, so against the error's direction */
	__u32 ip_off;
};

static __always_inline void ct_key_v4(struct ipv4_ct_tuple *key, const struct pkt_v4 *pkt, __u8 flags)
{
	key->daddr = pkt->daddr;
	key->saddr = pkt->saddr;
	key->dport = pkt->dport;
	key->sport = pkt->sport;
	key->nexthdr = pkt->protocol;
	key->flags = flags;
}

/* The key of the connection that this packet would be a reply of. */
static __always_inline void ct_reply_key_v4(struct ipv4_ct_tuple *key, const struct pkt_v4 *pkt,
					    __u8 flags)
{
	key->daddr = pkt->saddr;
	key->saddr = pkt->daddr;
	key->dport = pkt->sport;
	key->sport = pkt->dport;
	key->nexthdr = pkt->protocol;
	key->flags = flags;
}

/* Reads the IP header at `ip_off` and the eight bytes behind it; 0 or DROP_INVALID. */
static __always_inline int quoted_parse_v4(struct __sk_buff *ctx, __u32 ip_off, struct quoted_v4 *quoted)
{
	__u8 l4[8];
	struct iphdr ip;
	__u32 ip_len;

	__builtin_memset(quoted, 0, sizeof(*quoted));
	if (bpf_skb_load_bytes(ctx, ip_off, &ip, sizeof(ip)))
		return DROP_INVALID;
	ip_len = (*(__u8 *)&ip & 0x0f) * 4;
	if (ip_len < IPV4_MIN_HLEN || ip.frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET))
		return DROP_INVALID;
	quoted->ip_off = ip_off;
	quoted->pkt.l4_off = ip_off + ip_len;
	if (bpf_skb_load_bytes(ctx, quoted->pkt.l4_off, l4, sizeof(l4)))
		return DROP_INVALID;
	quoted->pkt.saddr = ip.saddr;
	quoted->pkt.daddr = ip.daddr;
	quoted->pkt.protocol = ip.protocol;
	if (ip.protocol == IPPROTO_ICMP) {
		parse_icmp_v4(l4, &quoted->pkt);
	} else {
		quoted->pkt.sport = *(__be16 *)&l4[0];
		quoted->pkt.dport = *(__be16 *)&l4[2];
	}
	return 0;
}

/* The live entry under a key, or NULL. */
static __always_inline struct ct_entry *ct_find_v4(const struct ipv4_ct_tuple *key,
						   const struct pkt_v4 *pkt, __u32 now)
{
	struct ct_entry *entry = bpf_map_lookup_elem(&cilium_ct4_global, key);

	return entry && ct_alive(entry, pkt, now) ? entry : (void *)0;
}

/*
 * The connection that an ICMP error speaks of. The quoted packet went the other way: out of the pod when the
 * error comes in. It belongs to a connection of that direction, or is itself a reply of the other.
 */
static __always_inline struct ct_entry *ct_find_related_v4(struct __sk_buff *ctx,
							   const struct pkt_v4 *pkt, __u8 dir, __u32 now)
{
	__u8 quoted_view = dir == DIR_INGRESS ? TUPLE_F_OUT : TUPLE_F_IN;
	__u8 other_view = dir == DIR_INGRESS ? TUPLE_F_IN : TUPLE_F_OUT;
	struct ipv4_ct_tuple key;
	struct quoted_v4 quoted;
	struct ct_entry *entry;

	if (quoted_parse_v4(ctx, pkt->l4_off + ICMP_HLEN, &quoted))
		return (void *)0;
	ct_key_v4(&key, &quoted.pkt, quoted_view);
	entry = ct_find_v4(&key, &quoted.pkt, now);
	if (entry)
		return entry;
	ct_reply_key_v4(&key, &quoted.pkt, other_view);
	return ct_find_v4(&key, &quoted.pkt, now);
}

/*
 * Finds the packet's connection, accounts the packet to it, and says what it is (CT_STATE_*). `entry` is set
 * to the connection, or NULL for a new one; creating that is up to the policy stage.
 */
static __always_inline __u8 ct_lookup_v4(struct __sk_buff *ctx, const struct pkt_v4 *pkt, __u8 dir,
					 struct ct_entry **entry)
{
	__u8 own_view = dir == DIR_INGRESS ? TUPLE_F_IN : TUPLE_F_OUT;
	__u8 reply_view = dir == DIR_INGRESS ? TUPLE_F_OUT : TUPLE_F_IN;
	struct ipv4_ct_tuple key;
	__u32 now = ct_now();

	if (pkt->protocol == IPPROTO_ICMP && pkt->icmp_error) {
		*entry = ct_find_related_v4(ctx, pkt, dir, now);
		return *entry ? CT_STATE_RELATED : CT_STATE_NEW;
	}
	/* A bare SYN is nobody's reply, whatever connection had its ports before. */
	if (!tcp_is_syn(pkt)) {
		ct_reply_key_v4(&key, pkt, reply_view);
		*entry = ct_find_v4(&key, pkt, now);
		if (*entry) {
			ct_touch(*entry, ctx, pkt, CT_RX, now);
			return CT_STATE_REPLY;
		}
	}
	ct_key_v4(&key, pkt, own_view);
	*entry = ct_find_v4(&key, pkt, now);
	if (*entry) {
		ct_touch(*entry, ctx, pkt, CT_TX, now);
		return CT_STATE_ESTABLISHED;
	}
	return CT_STATE_NEW;
}

/* Remembers a connection that policy has allowed. 0 or DROP_CT_CREATE_FAILED. */
static __always_inline int ct_create_v4(struct __sk_buff *ctx, const struct pkt_v4 *pkt,
					const struct pkt_state *st)
{
	struct ipv4_ct_tuple key;
	struct ct_entry entry;

	/* Nothing can follow an error or a reset that belongs to no connection. */
	if (pkt->icmp_error || pkt->tcp_flags & TCP_RST)
		return 0;
	ct_key_v4(&key, pkt, st->direction == DIR_INGRESS ? TUPLE_F_IN : TUPLE_F_OUT);
	ct_init(&entry, ctx, pkt, ct_now());
	entry.src_sec_id = st->src_identity;
	if (st->direction == DIR_EGRESS)
		entry.rev_nat_index = st->rev_nat_index;
	return bpf_map_update_elem(&cilium_ct4_global, &key, &entry, BPF_ANY) ? DROP_CT_CREATE_FAILED : 0;
}

/*
 * Notes whether policy turns a known connection down. The entry stays while it does: without it, the first
 * packet that the other side sends again would pass for a connection of its own, and open the way for replies.
 */
static __always_inline void ct_set_denied_v4(const struct pkt_v4 *pkt, __u8 dir, _Bool denied)
{
	struct ipv4_ct_tuple key;
	struct ct_entry *entry;

	ct_key_v4(&key, pkt, dir == DIR_INGRESS ? TUPLE_F_IN : TUPLE_F_OUT);
	entry = bpf_map_lookup_elem(&cilium_ct4_global, &key);
	if (!entry)
		return;
	if (denied)
		entry->flags |= CT_F_DENIED;
	else
		entry->flags &= ~CT_F_DENIED;
}

#endif
