// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Services of IPv4: from a frontend to one of its backends, and back. TCP and UDP. */
#ifndef __LIB_LB_V4_H
#define __LIB_LB_V4_H

#include "nat_v4.h"

struct lb4_key {
	__be32 address;
	__be16 dport;
	__u16 backend_slot; /* 0: the frontend itself; 1..count: its backends */
	__u8 proto;
	__u8 scope; /* 0: external */
	__u8 pad[2];
};

struct lb4_service {
	__u32 backend_id; /* in slots from 1 */
	__u16 count;	  /* in slot 0 */
	__u16 rev_nat_index;
	__u8 flags;
	__u8 flags2;
	__u16 qcount;
};

struct lb4_backend {
	__be32 address;
	__be16 port;
	__u8 proto;
	__u8 flags;
	__u16 cluster_id;
	__u8 zone;
	__u8 pad;
};

struct lb4_reverse_nat {
	__be32 address;
	__be16 port;
} __attribute__((packed));

_Static_assert(sizeof(struct lb4_key) == 12, "service key is 12 bytes");
_Static_assert(sizeof(struct lb4_service) == 12, "service value is 12 bytes");
_Static_assert(sizeof(struct lb4_backend) == 12, "backend value is 12 bytes");
_Static_assert(sizeof(struct lb4_reverse_nat) == 6, "reverse NAT value is 6 bytes");

/* Frontends and their backend slots. This and the next two are written by the services reconciler. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lb4_key);
	__type(value, struct lb4_service);
} cilium_lb4_services_v2 SEC(".maps");

/* Backend id to address and port. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct lb4_backend);
} cilium_lb4_backends_v2 SEC(".maps");

/* Reverse NAT index to the frontend that the client knows. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u16);
	__type(value, struct lb4_reverse_nat);
} cilium_lb4_reverse_nat SEC(".maps");

/*
 * Who a pod appears to be when a service leads it to itself: its own address as the source would be refused by
 * the pod's stack. Link-local, so nobody else has it (RFC 3927).
 */
#define LB4_LOOPBACK bpf_htonl(0xa9fe2a01) /* 169.254.42.1 */

/* The service behind the packet's destination, or NULL. `key` is left at its slot 0. */
static __always_inline const struct lb4_service *lb4_lookup(const struct pkt_v4 *pkt, struct lb4_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->address = pkt->daddr;
	key->dport = pkt->dport;
	key->proto = pkt->protocol;
	return bpf_map_lookup_elem(&cilium_lb4_services_v2, key);
}

static __always_inline const struct lb4_backend *lb4_backend_lookup(__u32 id)
{
	return bpf_map_lookup_elem(&cilium_lb4_backends_v2, &id);
}

/* Any backend of the service, each as likely as the other; its id goes to `id`. NULL: none usable. */
static __always_inline const struct lb4_backend *lb4_pick(const struct lb4_service *svc,
							  struct lb4_key *key, __u32 *id)
{
	__u32 count = svc->count;
	const struct lb4_service *slot;

	if (!count)
		return (void *)0;
	key->backend_slot = (__u16)(bpf_get_prandom_u32() % count + 1);
	slot = bpf_map_lookup_elem(&cilium_lb4_services_v2, key);
	if (!slot)
		return (void *)0;
	*id = slot->backend_id;
	return lb4_backend_lookup(*id);
}

/*
 * Accounts a packet to the entry that ties a client to a backend. Only the client's packets pass here, so its
 * FIN is all we see of the end: acknowledgements may follow for as long as the backend has data, but the
 * next SYN is free to choose anew.
 */
static __always_inline void lb4_touch(struct ct_entry *entry, const struct __sk_buff *ctx,
				      const struct pkt_v4 *pkt, __u32 now)
{
	ct_touch(entry, ctx, pkt, CT_TX, now);
	if (pkt->protocol == IPPROTO_TCP && entry->flags & CT_F_TX_CLOSING) {
		entry->flags |= CT_F_CLOSED;
		entry->lifetime = now + cfg_ct_tcp_syn_s;
	}
}

/*
 * The backend for a packet to `svc`: the one that served this client before, else any. NULL with `ret` set to
 * DROP_NO_SERVICE or DROP_CT_CREATE_FAILED.
 */
static __always_inline const struct lb4_backend *lb4_select(struct __sk_buff *ctx, const struct pkt_v4 *pkt,
							    const struct lb4_service *svc,
							    struct lb4_key *svc_key, int *ret)
{
	const struct lb4_backend *backend;
	struct ipv4_ct_tuple key;
	struct ct_entry *known, entry;
	__u32 now = ct_now(), id = 0;

	ct_key_v4(&key, pkt, TUPLE_F_SERVICE);
	known = ct_find_v4(&key, pkt, now);
	if (known) {
		backend = lb4_backend_lookup((__u32)known->backend_id[0]);
		if (backend) {
			lb4_touch(known, ctx, pkt, now);
			return backend;
		}
	}
	backend = lb4_pick(svc, svc_key, &id);
	if (!backend) {
		*ret = DROP_NO_SERVICE;
		return backend;
	}
	ct_init(&entry, ctx, pkt, now);
	entry.backend_id[0] = id;
	entry.rev_nat_index = svc->rev_nat_index;
	if (bpf_map_update_elem(&cilium_ct4_global, &key, &entry, BPF_ANY)) {
		*ret = DROP_CT_CREATE_FAILED;
		return (void *)0;
	}
	return backend;
}

/*
 * A client complains about a packet of its service, which was its backend's: the complaint is sent on to the
 * backend, in the backend's terms. 0 or DROP_*.
 */
static __always_inline int lb4_translate_error(struct __sk_buff *ctx, struct pkt_v4 *pkt)
{
	const struct lb4_backend *backend;
	const struct ct_entry *known;
	struct ipv4_ct_tuple key;
	struct quoted_v4 quoted;

	if (quoted_parse_v4(ctx, pkt->l4_off + ICMP_HLEN, &quoted))
		return 0; /* conntrack will not know it either */
	ct_reply_key_v4(&key, &quoted.pkt, TUPLE_F_SERVICE);
	known = ct_find_v4(&key, &quoted.pkt, ct_now());
	backend = known ? lb4_backend_lookup((__u32)known->backend_id[0]) : (void *)0;
	return backend ? nat_related_v4(ctx, pkt, NAT_SOURCE, backend->address, backend->port) : 0;
}

/*
 * Sends a packet for a service on to a backend and remembers in `st` how to undo that. Packets for anything
 * else pass unchanged. 0 or DROP_*.
 */
static __always_inline int lb4_translate(struct __sk_buff *ctx, struct pkt_v4 *pkt, struct pkt_state *st)
{
	const struct lb4_backend *backend;
	const struct lb4_service *svc;
	struct lb4_key key;
	int ret = 0;

	if (pkt->protocol == IPPROTO_ICMP && pkt->icmp_error)
		return lb4_translate_error(ctx, pkt);
	if (pkt->protocol != IPPROTO_TCP && pkt->protocol != IPPROTO_UDP)
		return 0;
	svc = lb4_lookup(pkt, &key);
	if (!svc)
		return 0;
	backend = lb4_select(ctx, pkt, svc, &key, &ret);
	if (!backend)
		return ret;
	st->orig_daddr = pkt->daddr;
	st->orig_dport = pkt->dport;
	st->rev_nat_index = svc->rev_nat_index;
	if (backend->address == pkt->saddr) {
		ret = nat_rewrite_v4(ctx, pkt, NAT_SOURCE, LB4_LOOPBACK, pkt->sport);
		if (ret)
			return ret;
	}
	return nat_rewrite_v4(ctx, pkt, NAT_DESTINATION, backend->address, backend->port);
}

/*
 * Gives a reply, or an error about one, the source that the client knows. The index comes from the client's
 * own connection entry. A frontend that is gone leaves the packet as it is. 0 or DROP_*.
 */
static __always_inline int lb4_reverse(struct __sk_buff *ctx, const struct pkt_state *st)
{
	__u16 index = st->rev_nat_index;
	const struct lb4_reverse_nat *frontend = bpf_map_lookup_elem(&cilium_lb4_reverse_nat, &index);
	struct pkt_v4 pkt;
	int ret;

	if (!frontend)
		return 0;
	ret = parse_v4(ctx, &pkt);
	if (ret)
		return ret;
	if (st->ct_state == CT_STATE_RELATED)
		return nat_related_v4(ctx, &pkt, NAT_DESTINATION, frontend->address,
				      frontend->port);
	if (pkt.daddr == LB4_LOOPBACK) { /* the pod answered itself */
		ret = nat_rewrite_v4(ctx, &pkt, NAT_DESTINATION, cfg_endpoint_ipv4, pkt.dport);
		if (ret)
			return ret;
	}
	return nat_rewrite_v4(ctx, &pkt, NAT_SOURCE, frontend->address, frontend->port);
}

#endif
