// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Services that a pod asks for: its packets go to a backend, the replies come from what it asked for. Once for each
 * family (family_v4.h), after lb.h.
 */
#include "pod.h"

/*
 * The service behind a pod's packet, or NULL. A NodePort is served here, whichever node's address the pod asks: the
 * way to a backend is shorter, and the backend sees the pod itself.
 */
static __always_inline const struct F(lb_service) *F(lb_pod_lookup)(const struct F(pkt) *pkt,
								    struct F(lb_key) *key)
{
	const struct F(lb_service) *svc = F(lb_lookup)(pkt, key);
	__u32 identity;

	if (svc || !lb_is_nodeport(pkt->l4.dport))
		return svc;
	identity = F(whereabouts)(pkt->daddr).identity;
	if (identity != IDENTITY_HOST && identity != IDENTITY_REMOTE_NODE)
		return (void *)0;
	return F(lb_find)(key, F(node_ip)(), pkt->l4.dport, pkt->l4.protocol);
}

/*
 * A client complains about a packet of its service, which was its backend's: the complaint is sent on to the
 * backend, in the backend's terms. 0 or DROP_*.
 */
static __always_inline int F(lb_translate_error)(struct __sk_buff *ctx, struct pkt_state *st,
						  struct F(pkt) *pkt)
{
	const struct F(lb_backend) *backend;
	struct F(quoted) quoted;

	if (F(quoted_parse)(ctx, pkt->l4.off + ICMP_HLEN, &quoted))
		return 0; /* conntrack will not know it either */
	backend = F(lb_backend_of_reply)(&quoted, pod_since(st, journey_now(st)));
	return backend ? F(nat_related)(ctx, pkt, NAT_SOURCE, backend->address, backend->port) : 0;
}

/* Can lb_translate() have anything to do with the packet? */
static __always_inline _Bool F(lb_concerns)(const struct F(pkt) *pkt)
{
	return pkt->l4.icmp_error || lb_is_nodeport(pkt->l4.dport) || F(lb_may_serve)(pkt->daddr);
}

/*
 * Sends a packet for a service on to a backend and remembers in `st` how to undo that. Packets for anything
 * else pass unchanged. 0, DROP_NO_SERVICE when there is nobody to serve it, or another DROP_*.
 */
static __always_inline int F(lb_translate)(struct __sk_buff *ctx, struct F(pkt) *pkt, struct pkt_state *st)
{
	const struct F(lb_backend) *backend;
	const struct F(lb_service) *svc;
	struct F(lb_key) key;
	int ret = 0;

	if (pkt->l4.icmp_error)
		return F(lb_translate_error)(ctx, st, pkt);
	if (!F(lb_has_services)(pkt))
		return 0;
	svc = F(lb_pod_lookup)(pkt, &key);
	if (!svc)
		return 0;
	backend = F(lb_select)(ctx, pkt, svc, &key, pod_since(st, journey_now(st)), &ret);
	if (!backend)
		return ret;
	st->nat_addr.F(ip) = st->orig_daddr.F(ip) = pkt->daddr;
	st->nat_port = st->orig_dport = pkt->l4.dport;
	st->rev_nat_index = svc->rev_nat_index;
	if (F(addr_equal)(backend->address, pkt->saddr)) {
		ret = F(nat_rewrite)(ctx, pkt, NAT_SOURCE, F(lb_loopback)(), pkt->l4.sport);
		if (ret)
			return ret;
	}
	return F(nat_rewrite)(ctx, pkt, NAT_DESTINATION, backend->address, backend->port);
}

/*
 * Gives a reply, or an error about one, the source that the pod asked for. That is in the pod's own connection
 * entry; one from before it was kept there has an index alone, and a frontend that is gone leaves the packet as it
 * is. 0 or DROP_*.
 */
static __always_inline int F(lb_reverse)(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct F(lb_reverse_nat) *frontend;
	const struct endpoint_config *pod;
	__u16 index = st->rev_nat_index;
	F(addr) addr = st->nat_addr.F(ip);
	__be16 port = st->nat_port;
	struct F(pkt) *pkt;
	int ret;

	if (!port) {
		frontend = bpf_map_lookup_elem(&F(lb_reverse_nat_map), &index);
		if (!frontend)
			return 0;
		addr = frontend->address;
		port = frontend->port;
	}
	ret = F(parse_once)(ctx, st, &pkt);
	if (ret)
		return ret;
	if (st->ct_state == CT_STATE_RELATED)
		return F(nat_related)(ctx, pkt, NAT_DESTINATION, addr, port);
	if (F(addr_equal)(pkt->daddr, F(lb_loopback)())) { /* the pod answered itself */
		pod = endpoint_self(st);
		if (!pod)
			return DROP_EP_NOT_READY;
		ret = F(nat_rewrite)(ctx, pkt, NAT_DESTINATION, F(pod_ip)(pod), pkt->l4.dport);
		if (ret)
			return ret;
	}
	return F(nat_rewrite)(ctx, pkt, NAT_SOURCE, addr, port);
}
