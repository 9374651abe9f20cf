// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Services for packets: which backend serves a connection. Once for each family (family_v4.h), after
 * conntrack_tuples.h.
 */
#include "hash.h"
#include "lb_filter.h"
#include "lb_select.h"

/* Protocols that services are made of. */
static __always_inline _Bool F(lb_has_services)(const struct F(pkt) *pkt)
{
	switch (pkt->l4.protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		return !pkt->l4.icmp_error;
	default:
		return 0;
	}
}

/* The service behind the packet's destination, or NULL. `key` is left at its slot 0. */
static __always_inline const struct F(lb_service) *F(lb_lookup)(const struct F(pkt) *pkt, struct F(lb_key) *key)
{
	if (!F(lb_may_serve)(pkt->daddr))
		return (void *)0;
	return F(lb_find)(key, pkt->daddr, pkt->l4.dport, pkt->l4.protocol);
}

/*
 * What Maglev's table is asked with. The destination is left out, so that a client is served by one backend
 * whichever node's NodePort it asks; the ports too where a client is to stay with one backend.
 */
static __always_inline __u32 F(lb_hash)(const struct F(pkt) *pkt, const struct F(lb_service) *svc)
{
	__u64 hash = F(hash_addr)(0, pkt->saddr);

	if (!(svc->flags & LB_F_AFFINITY))
		hash = hash_mix(hash, (__u64)pkt->l4.sport << 32 | (__u64)pkt->l4.dport << 8 |
					      pkt->l4.protocol);
	return (__u32)(hash >> 32);
}

/*
 * Accounts a packet to the entry that ties a client to a backend. Only the client's packets pass here, so its
 * FIN is all we see of the end: acknowledgements may follow for as long as the backend has data, but the
 * next SYN is free to choose anew.
 */
static __always_inline void F(lb_touch)(struct ct_entry *entry, const struct __sk_buff *ctx,
					const struct F(pkt) *pkt, __u32 now)
{
	ct_touch(entry, ctx, &pkt->l4, CT_TX, now);
	if (pkt->l4.protocol == IPPROTO_TCP && entry->flags & CT_F_TX_CLOSING) {
		entry->flags |= CT_F_CLOSED;
		entry->lifetime = now + cfg_ct_tcp_syn_s;
	}
}

/*
 * The backend that serves the packet's connection already, or NULL when a new one is to be chosen. TCP and SCTP keep
 * theirs as long as it exists at all, but nothing begins with one that is ending. A flow of UDP has no end of its
 * own: it moves when the frontend names its backend no more.
 */
static __always_inline const struct F(lb_backend) *F(lb_keep)(struct ct_entry *known, const struct F(pkt) *pkt,
							      const struct F(lb_service) *svc,
							      struct F(lb_key) *svc_key)
{
	struct lb_choice choice = {.id = (__u32)known->backend_id, .slot = (__u16)known->backend_slot};
	const struct F(lb_backend) *backend = F(lb_backend_lookup)(choice.id);

	if (!backend || backend->flags == LB_BACKEND_MAINTENANCE)
		return (void *)0;
	if (tcp_is_syn(&pkt->l4) && backend->flags != LB_BACKEND_ACTIVE)
		return (void *)0;
	if (pkt->l4.protocol == IPPROTO_UDP) {
		if (!F(lb_serves)(svc, svc_key, &choice))
			return (void *)0;
		if (choice.slot != known->backend_slot)
			known->backend_slot = choice.slot;
	}
	return backend;
}

/*
 * Can the packet be sent on to this backend? Not when that takes another port in SCTP, whose checksum (CRC32c, RFC
 * 9260) covers the whole packet and would have to be made anew.
 */
static __always_inline _Bool F(lb_reaches)(const struct F(pkt) *pkt, const struct F(lb_backend) *backend)
{
	return pkt->l4.protocol != IPPROTO_SCTP || backend->port == pkt->l4.dport;
}

/*
 * The backend for a packet to `svc`: the one that serves its connection, else one that is chosen now and
 * remembered. `since`: see ct_view_is(). NULL with `ret` set to DROP_NO_SERVICE or DROP_CT_CREATE_FAILED.
 */
static __always_inline const struct F(lb_backend) *F(lb_select)(struct __sk_buff *ctx, const struct F(pkt) *pkt,
								const struct F(lb_service) *svc,
								struct F(lb_key) *svc_key, __u32 since,
								int *ret)
{
	struct F(lb_affinity_key) client = {};
	const struct F(lb_backend) *backend;
	struct lb_choice choice = {};
	struct ct_entry *known, entry;
	struct F(ct_tuple) key;
	__u32 now = ct_now();

	client.client.address = pkt->saddr;
	F(ct_key)(&key, pkt, TUPLE_F_SERVICE);
	known = F(ct_find)(&key, pkt, CT_OUT, since, now);
	backend = known ? F(lb_keep)(known, pkt, svc, svc_key) : (void *)0;
	if (backend && F(lb_reaches)(pkt, backend)) {
		F(lb_touch)(known, ctx, pkt, now);
		if (svc->flags & LB_F_AFFINITY) {
			client.rev_nat_index = svc->rev_nat_index;
			F(lb_affinity_renew)(&client, (__u32)known->backend_id, now);
		}
		return backend;
	}
	backend = F(lb_choose)(svc, svc_key, &client, bpf_get_prandom_u32(), F(lb_hash)(pkt, svc), now, &choice);
	if (!backend || !F(lb_reaches)(pkt, backend)) {
		*ret = DROP_NO_SERVICE;
		return (void *)0;
	}
	ct_init(&entry, ctx, &pkt->l4, CT_OUT, now);
	entry.backend_id = choice.id;
	entry.backend_slot = choice.slot;
	entry.rev_nat_index = svc->rev_nat_index;
	if (bpf_map_update_elem(&F(ct_map), &key, &entry, BPF_ANY)) {
		*ret = DROP_CT_CREATE_FAILED;
		return (void *)0;
	}
	return backend;
}

/* The backend that serves the client of which `quoted` is a reply as it saw it, or NULL. */
static __always_inline const struct F(lb_backend) *F(lb_backend_of_reply)(const struct F(quoted) *quoted,
									  __u32 since)
{
	const struct ct_entry *known;
	struct F(ct_tuple) key;

	F(ct_reply_key)(&key, &quoted->pkt, TUPLE_F_SERVICE);
	known = F(ct_find)(&key, &quoted->pkt, CT_OUT, since, ct_now());
	return known ? F(lb_backend_lookup)((__u32)known->backend_id) : (void *)0;
}
