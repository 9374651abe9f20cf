// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Services: from a frontend to one of its backends, and back. TCP and UDP. Once for each family (family_v4.h),
 * after conntrack_tuples.h.
 */
#include "lb_maps.h"
#include "nat_v4.h"

/* The service behind the packet's destination, or NULL. `key` is left at its slot 0. */
static __always_inline const struct F(lb_service) *F(lb_lookup)(const struct F(pkt) *pkt, struct F(lb_key) *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->address = pkt->daddr;
	key->dport = pkt->l4.dport;
	key->proto = pkt->l4.protocol;
	return bpf_map_lookup_elem(&F(lb_services_map), key);
}

static __always_inline const struct F(lb_backend) *F(lb_backend_lookup)(__u32 id)
{
	return bpf_map_lookup_elem(&F(lb_backends_map), &id);
}

/* Any backend of the service, each as likely as the other; its id goes to `id`. NULL: none usable. */
static __always_inline const struct F(lb_backend) *F(lb_pick)(const struct F(lb_service) *svc,
							  struct F(lb_key) *key, __u32 *id)
{
	__u32 count = svc->count;
	const struct F(lb_service) *slot;

	if (!count)
		return (void *)0;
	key->backend_slot = (__u16)(bpf_get_prandom_u32() % count + 1);
	slot = bpf_map_lookup_elem(&F(lb_services_map), key);
	if (!slot)
		return (void *)0;
	*id = slot->backend_id;
	return F(lb_backend_lookup)(*id);
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
 * The backend for a packet to `svc`: the one that served this client before, else any. NULL with `ret` set to
 * DROP_NO_SERVICE or DROP_CT_CREATE_FAILED.
 */
static __always_inline const struct F(lb_backend) *F(lb_select)(struct __sk_buff *ctx, const struct F(pkt) *pkt,
							    const struct F(lb_service) *svc,
							    struct F(lb_key) *svc_key, int *ret)
{
	const struct F(lb_backend) *backend;
	struct F(ct_tuple) key;
	struct ct_entry *known, entry;
	__u32 now = ct_now(), id = 0;

	F(ct_key)(&key, pkt, TUPLE_F_SERVICE);
	known = F(ct_find)(&key, pkt, now);
	if (known) {
		backend = F(lb_backend_lookup)((__u32)known->backend_id);
		if (backend) {
			F(lb_touch)(known, ctx, pkt, now);
			return backend;
		}
	}
	backend = F(lb_pick)(svc, svc_key, &id);
	if (!backend) {
		*ret = DROP_NO_SERVICE;
		return backend;
	}
	ct_init(&entry, ctx, &pkt->l4, now);
	entry.backend_id = id;
	entry.rev_nat_index = svc->rev_nat_index;
	if (bpf_map_update_elem(&F(ct_map), &key, &entry, BPF_ANY)) {
		*ret = DROP_CT_CREATE_FAILED;
		return (void *)0;
	}
	return backend;
}

/*
 * A client complains about a packet of its service, which was its backend's: the complaint is sent on to the
 * backend, in the backend's terms. 0 or DROP_*.
 */
static __always_inline int F(lb_translate_error)(struct __sk_buff *ctx, struct F(pkt) *pkt)
{
	const struct F(lb_backend) *backend;
	const struct ct_entry *known;
	struct F(ct_tuple) key;
	struct F(quoted) quoted;

	if (F(quoted_parse)(ctx, pkt->l4.off + ICMP_HLEN, &quoted))
		return 0; /* conntrack will not know it either */
	F(ct_reply_key)(&key, &quoted.pkt, TUPLE_F_SERVICE);
	known = F(ct_find)(&key, &quoted.pkt, ct_now());
	backend = known ? F(lb_backend_lookup)((__u32)known->backend_id) : (void *)0;
	return backend ? F(nat_related)(ctx, pkt, NAT_SOURCE, backend->address, backend->port) : 0;
}

/*
 * Sends a packet for a service on to a backend and remembers in `st` how to undo that. Packets for anything
 * else pass unchanged. 0 or DROP_*.
 */
static __always_inline int F(lb_translate)(struct __sk_buff *ctx, struct F(pkt) *pkt, struct pkt_state *st)
{
	const struct F(lb_backend) *backend;
	const struct F(lb_service) *svc;
	struct F(lb_key) key;
	int ret = 0;

	if (pkt->l4.icmp_error)
		return F(lb_translate_error)(ctx, pkt);
	if (pkt->l4.protocol != IPPROTO_TCP && pkt->l4.protocol != IPPROTO_UDP)
		return 0;
	svc = F(lb_lookup)(pkt, &key);
	if (!svc)
		return 0;
	backend = F(lb_select)(ctx, pkt, svc, &key, &ret);
	if (!backend)
		return ret;
	st->orig_daddr.F(ip) = pkt->daddr;
	st->orig_dport = pkt->l4.dport;
	st->rev_nat_index = svc->rev_nat_index;
	if (F(addr_equal)(backend->address, pkt->saddr)) {
		ret = F(nat_rewrite)(ctx, pkt, NAT_SOURCE, F(lb_loopback)(), pkt->l4.sport);
		if (ret)
			return ret;
	}
	return F(nat_rewrite)(ctx, pkt, NAT_DESTINATION, backend->address, backend->port);
}

/*
 * Gives a reply, or an error about one, the source that the client knows. What that is comes from the client's own
 * connection entry: the address itself, or an index. A frontend that is gone leaves the packet as it is. 0 or
 * DROP_*.
 */
static __always_inline int F(lb_reverse)(struct __sk_buff *ctx, const struct pkt_state *st)
{
	const struct F(lb_reverse_nat) *frontend;
	__u16 index = st->rev_nat_index;
	F(addr) addr = st->nat_addr.F(ip);
	__be16 port = st->nat_port;
	struct F(pkt) pkt;
	int ret;

	if (!port) {
		frontend = bpf_map_lookup_elem(&F(lb_reverse_nat_map), &index);
		if (!frontend)
			return 0;
		addr = frontend->address;
		port = frontend->port;
	}
	ret = F(parse)(ctx, &pkt);
	if (ret)
		return ret;
	if (st->ct_state == CT_STATE_RELATED)
		return F(nat_related)(ctx, &pkt, NAT_DESTINATION, addr, port);
	if (F(addr_equal)(pkt.daddr, F(lb_loopback)())) { /* the pod answered itself */
		ret = F(nat_rewrite)(ctx, &pkt, NAT_DESTINATION, F(endpoint_ip)(), pkt.l4.dport);
		if (ret)
			return ret;
	}
	return F(nat_rewrite)(ctx, &pkt, NAT_SOURCE, addr, port);
}
