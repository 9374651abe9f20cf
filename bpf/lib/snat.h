// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Translating sources: pods behind the node's address, clients of a NodePort behind the node's name for a backend
 * elsewhere. Once for each family (family_v4.h), after conntrack_tuples.h.
 *
 * Both entries of a mapping say when it was last used; they are brought in line at most once a second and whenever
 * TCP's state changes. So the entry for replies alone tells whether a port may be taken over, and a mapping that
 * lost one of its entries to the kernel's eviction is mended by the traffic.
 */
#include "snat_maps.h"

#define SNAT_NONE 0 /* nothing known: the packet is as it was */
#define SNAT_DONE 1 /* translated */

static __always_inline struct F(snat_entry) *F(snat_lookup)(const struct F(ct_tuple) *key)
{
	return bpf_map_lookup_elem(&F(snat_map), key);
}

static __always_inline _Bool F(snat_alive)(const struct F(snat_entry) *entry, __u8 protocol, __u32 now)
{
	return (__s32)(now - entry->last_used) <= (__s32)snat_lifetime(protocol, entry->flags);
}

static __always_inline _Bool F(snat_leads_to)(const struct F(snat_entry) *entry, F(addr) addr, __be16 port)
{
	return entry->to_port == port && F(addr_equal)(entry->to_addr, addr);
}

/* Writes the key and the value of the other entry of a mapping. */
static __always_inline void F(snat_other)(const struct F(ct_tuple) *key, const struct F(snat_entry) *entry,
					  struct F(ct_tuple) *other_key, struct F(snat_entry) *other)
{
	__builtin_memcpy(other, entry, sizeof(*other));
	other_key->nexthdr = key->nexthdr;
	if (key->flags == TUPLE_F_OUT) {
		other_key->flags = TUPLE_F_IN;
		other_key->saddr = key->daddr;
		other_key->sport = key->dport;
		other_key->daddr = entry->to_addr;
		other_key->dport = entry->to_port;
		other->to_addr = key->saddr;
		other->to_port = key->sport;
	} else {
		other_key->flags = TUPLE_F_OUT;
		other_key->saddr = entry->to_addr;
		other_key->sport = entry->to_port;
		other_key->daddr = key->saddr;
		other_key->dport = key->sport;
		other->to_addr = key->daddr;
		other->to_port = key->dport;
	}
}

/* Brings the other entry of a mapping in line with this one. Is the mapping still whole, or whole again? */
static __always_inline _Bool F(snat_pair)(const struct F(ct_tuple) *key, const struct F(snat_entry) *entry)
{
	struct F(ct_tuple) other_key;
	struct F(snat_entry) other, *known;

	F(snat_other)(key, entry, &other_key, &other);
	known = F(snat_lookup)(&other_key);
	if (!known)
		return !bpf_map_update_elem(&F(snat_map), &other_key, &other, BPF_NOEXIST);
	if (!F(snat_leads_to)(known, other.to_addr, other.to_port))
		return 0;
	known->last_used = other.last_used;
	known->flags = other.flags;
	return 1;
}

/* Accounts a packet to a mapping that it belongs to. Does the mapping still hold? */
static __always_inline _Bool F(snat_touch)(const struct F(ct_tuple) *key, struct F(snat_entry) *entry,
					   const struct pkt_l4 *l4, __u32 now)
{
	__u32 flags = snat_flags(entry->flags, l4, key->flags == TUPLE_F_OUT ? CT_TX : CT_RX);

	if (entry->last_used == now && entry->flags == flags)
		return 1;
	entry->last_used = now;
	entry->flags = flags;
	return flags & SNAT_F_ONE_WAY || F(snat_pair)(key, entry);
}

/* What a translated end is called. */
struct F(snat_target) {
	F(addr) addr;
	__be16 port;
};

/* The mapping that an error speaks of, by the packet that it quotes. */
static __always_inline struct F(snat_entry) *F(snat_find_related)(struct __sk_buff *ctx, const struct F(pkt) *pkt,
								  __u8 view)
{
	struct F(snat_entry) *entry;
	struct F(ct_tuple) key;
	struct F(quoted) quoted;

	if (F(quoted_parse)(ctx, pkt->l4.off + ICMP_HLEN, &quoted))
		return (void *)0;
	F(ct_reply_key)(&key, &quoted.pkt, view);
	entry = F(snat_lookup)(&key);
	return entry && F(snat_alive)(entry, key.nexthdr, ct_now()) ? entry : (void *)0;
}

/*
 * Finds the mapping of a packet by its source when `view` is TUPLE_F_OUT, or by its destination, as a reply, when it is
 * TUPLE_F_IN; accounts the packet to it and says what that end becomes. Errors belong to the mapping of the packet
 * that they quote.
 */
static __always_inline _Bool F(snat_find)(struct __sk_buff *ctx, const struct F(pkt) *pkt, __u8 view,
					  struct F(snat_target) *target)
{
	struct F(snat_entry) *entry;
	struct F(ct_tuple) key;
	__u32 now = ct_now();

	if (pkt->l4.icmp_error) {
		entry = F(snat_find_related)(ctx, pkt, view);
		if (!entry)
			return 0;
	} else {
		F(ct_key)(&key, pkt, view);
		entry = F(snat_lookup)(&key);
		if (!entry || !F(snat_alive)(entry, key.nexthdr, now) ||
		    !F(snat_touch)(&key, entry, &pkt->l4, now))
			return 0;
	}
	target->addr = entry->to_addr;
	target->port = entry->to_port;
	return 1;
}

/* Translates a packet whose mapping is found; `view` as for F(snat_find)(). 0 or DROP_*. */
static __always_inline int F(snat_rewrite)(struct __sk_buff *ctx, struct F(pkt) *pkt, __u8 view,
					   const struct F(snat_target) *target)
{
	if (pkt->l4.icmp_error)
		return F(nat_related)(ctx, pkt, view == TUPLE_F_OUT ? NAT_DESTINATION : NAT_SOURCE,
				      target->addr, target->port);
	return F(nat_rewrite)(ctx, pkt, view == TUPLE_F_OUT ? NAT_SOURCE : NAT_DESTINATION, target->addr,
			      target->port);
}

/* Translates a packet if it has a mapping. SNAT_* or DROP_*. */
static __always_inline int F(snat_apply)(struct __sk_buff *ctx, struct F(pkt) *pkt, __u8 view)
{
	struct F(snat_target) target;
	int ret;

	if (!F(snat_find)(ctx, pkt, view, &target))
		return SNAT_NONE;
	ret = F(snat_rewrite)(ctx, pkt, view, &target);
	return ret < 0 ? ret : SNAT_DONE;
}

/*
 * Takes the replies of `key` for a mapping: nobody has them, or this very mapping, or one that was idle for longer
 * than its lifetime. Of several that want it at once, one gets it.
 */
static __always_inline _Bool F(snat_claim)(const struct F(ct_tuple) *key, const struct F(snat_entry) *entry)
{
	struct F(snat_entry) *known = F(snat_lookup)(key);
	__u32 used;

	if (!known)
		return !bpf_map_update_elem(&F(snat_map), key, entry, BPF_NOEXIST);
	if (F(snat_leads_to)(known, entry->to_addr, entry->to_port)) {
		known->last_used = entry->last_used;
		known->flags = entry->flags;
		return 1;
	}
	used = known->last_used;
	if ((__s32)(entry->last_used - used) <= (__s32)snat_lifetime(key->nexthdr, known->flags))
		return 0;
	if (!__sync_bool_compare_and_swap(&known->last_used, used, entry->last_used))
		return 0;
	return !bpf_map_update_elem(&F(snat_map), key, entry, BPF_EXIST);
}

/* What bpf_loop() carries through the tries for a port. */
struct F(snat_search) {
	struct F(ct_tuple) key; /* of the replies; its port is the one to be tried next */
	struct F(snat_entry) entry;
	__u64 hash;
	_Bool found;
};

/* One try: 1 ends the search. */
static long F(snat_try)(__u32 index, struct F(snat_search) *search)
{
	search->found = F(snat_claim)(&search->key, &search->entry);
	if (search->found || search->key.nexthdr == IPPROTO_SCTP)
		return 1;
	search->hash = hash_mix(search->hash, index);
	search->key.dport = bpf_htons(snat_port(search->hash));
	return 0;
}

/*
 * Makes a mapping for the packet, the first of its connection: its source is to be `target`->addr, at the port that is
 * found. The search begins with the packet's own port if that is one to be given out, else with one that follows from
 * its addresses; so a mapping that lost an entry finds itself again. SCTP keeps its port: its checksum could not be
 * brought up to date. 0 or DROP_*.
 */
static __always_inline int F(snat_create)(const struct F(pkt) *pkt, struct F(snat_target) *target)
{
	__u64 ends = (__u64)pkt->l4.sport << 32 | (__u32)pkt->l4.dport << 16 | pkt->l4.protocol;
	__u16 port = bpf_ntohs(pkt->l4.sport);
	struct F(snat_search) search = {};
	struct F(snat_entry) entry;
	struct F(ct_tuple) key;

	if (pkt->l4.icmp_error) /* about a connection that has no mapping: nobody out there knows it */
		return DROP_NAT_NO_MAPPING;
	if (!pkt->l4.sport)
		return DROP_NAT_UNSUPP_PROTO;
	search.hash = hash_mix(F(hash_addr)(F(hash_addr)(0, pkt->saddr), pkt->daddr), ends);
	if (pkt->l4.protocol != IPPROTO_SCTP && (port < SNAT_PORT_MIN || port > SNAT_PORT_MAX))
		port = snat_port(search.hash);
	F(ct_reply_key)(&search.key, pkt, TUPLE_F_IN);
	search.key.daddr = target->addr;
	search.key.dport = bpf_htons(port);
	search.entry.created = search.entry.last_used = ct_now();
	search.entry.flags = snat_flags(0, &pkt->l4, CT_TX);
	search.entry.to_addr = pkt->saddr;
	search.entry.to_port = pkt->l4.sport;
	bpf_loop(SNAT_TRIES, F(snat_try), &search, 0);
	if (!search.found)
		return DROP_NAT_NO_MAPPING;
	target->port = search.key.dport;
	F(snat_other)(&search.key, &search.entry, &key, &entry);
	return bpf_map_update_elem(&F(snat_map), &key, &entry, BPF_ANY) ? DROP_NAT_NO_MAPPING : 0;
}

/*
 * Remembers that the replies of a backend to this client are to come from where the client sent its packet: `pkt`
 * before it goes to `backend`. 0 or DROP_NAT_NO_MAPPING.
 */
static __always_inline int F(snat_remember)(const struct F(pkt) *pkt, F(addr) backend, __be16 port)
{
	__u32 now = ct_now();
	struct F(ct_tuple) key = {
		.daddr = pkt->saddr,
		.saddr = backend,
		.dport = pkt->l4.sport,
		.sport = port,
		.nexthdr = pkt->l4.protocol,
		.flags = TUPLE_F_OUT,
	};
	struct F(snat_entry) *known = F(snat_lookup)(&key);
	struct F(snat_entry) entry = {
		.created = now,
		.last_used = now,
		.flags = SNAT_F_ONE_WAY | CT_F_SEEN_NON_SYN,
		.to_addr = pkt->daddr,
		.to_port = pkt->l4.dport,
	};

	if (known && known->flags & SNAT_F_ONE_WAY && F(snat_leads_to)(known, pkt->daddr, pkt->l4.dport)) {
		if (known->last_used != now)
			known->last_used = now;
		return 0;
	}
	return bpf_map_update_elem(&F(snat_map), &key, &entry, BPF_ANY) ? DROP_NAT_NO_MAPPING : 0;
}
