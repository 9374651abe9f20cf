// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What the network sends to the node and is for somebody else: replies to what was masqueraded, and clients of
 * services that this node serves, by NodePort or external address. A client's packet goes
 *
 *	to a backend here	its destination translated, straight into the pod or up the stack
 *	through the tunnel	to a backend on another node; its source is then this node's router address
 *	through the stack	to any other backend; cil_to_netdev gives it the device's address where it leaves
 *
 * What the replies are to look like is remembered by the backend's address and the client's (snat.h): whichever way
 * they come, they leave through cil_to_netdev, which gives them the source that the client asked for. So a client
 * whom the tunnel leads to would have its replies past that: it is made to appear as the router address, too.
 *
 * Once for each family (family_v4.h), after host.h and lb.h.
 */
#define DROP_FILE FILE_NODEPORT

/* The node that the tunnel leads to for this address, or 0; `identity`: of the address. */
static __always_inline __be32 F(tunnel_to)(F(addr) addr, __u32 *identity)
{
	struct whereabouts where = F(whereabouts)(addr);

	*identity = where.identity;
	return cfg_tunnel_ifindex ? where.tunnel_ipv4 : 0;
}

/*
 * What the packet is to become: `backend` for its destination, and what the route there asks for. Refusals come first,
 * while the packet is as its sender knows it.
 */
static __always_inline int F(nodeport_translate)(struct __sk_buff *ctx, struct pkt_state *st, struct F(pkt) *pkt,
						 const struct F(lb_backend) *backend)
{
	const struct endpoint_info *ep = F(endpoint_lookup)(backend->address);
	_Bool client_in_tunnel = F(tunnel_to)(pkt->saddr, &st->src_identity) != 0;
	__u32 identity;
	int ret;

	st->tunnel_ipv4 = ep ? 0 : F(tunnel_to)(backend->address, &identity);
	if (!ep && !st->tunnel_ipv4 && identity == IDENTITY_UNMANAGED)
		return REFUSE(ctx, st, SLOT(HOST_ICMP_ERROR), ICMP_ERROR_HOST_UNREACHABLE, DROP_UNKNOWN_TARGET);
	if (st->tunnel_ipv4 && encap_too_long(ctx, &pkt->l4, cfg_tunnel_mtu)) {
		st->icmp_mtu = cfg_tunnel_mtu;
		return REFUSE(ctx, st, SLOT(HOST_ICMP_ERROR), ICMP_ERROR_TOO_BIG, DROP_FRAG_NEEDED);
	}
	if (st->tunnel_ipv4 || (ep && !endpoint_is_host(ep))) {
		/* Tunnels do not look at the frame's addresses. */
		ret = ep ? F(l3_forward)(ctx, mac_of_u64(ep->mac), mac_of_u64(ep->node_mac))
			 : F(l3_forward)(ctx, MAC_OF(cfg_host_mac), MAC_OF(cfg_device_mac));
		if (ret == DROP_TTL_EXCEEDED)
			return REFUSE(ctx, st, SLOT(HOST_ICMP_ERROR), ICMP_ERROR_TTL_EXCEEDED, ret);
		if (ret < 0)
			return DROP(st, ret);
	}
	if (pkt->l4.icmp_error) {
		ret = F(nat_related)(ctx, pkt, NAT_SOURCE, backend->address, backend->port);
	} else {
		ret = F(snat_remember)(pkt, backend->address, backend->port);
		if (!ret)
			ret = F(nat_rewrite)(ctx, pkt, NAT_DESTINATION, backend->address, backend->port);
	}
	if (ret < 0)
		return DROP(st, ret);
	if (st->tunnel_ipv4 || (ep && !endpoint_is_host(ep) && client_in_tunnel))
		return JUMP(ctx, st, SLOT(HOST_NODEPORT_SNAT));
	if (!ep)
		mark_set(ctx, MARK_NODEPORT);
	if (!ep || endpoint_is_host(ep))
		return TC_ACT_OK;
	return DELIVER(ctx, st, ep);
}

/* A packet to a frontend: to which backend, and how? The stack has what is none after all. */
static __always_inline int F(host_nodeport)(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct F(lb_backend) *backend;
	const struct F(lb_service) *svc;
	struct F(quoted) quoted;
	struct F(lb_key) key;
	struct F(pkt) pkt;
	int ret = 0;

	if (!serves_network() || F(parse)(ctx, &pkt) < 0)
		return TC_ACT_OK;
	if (pkt.l4.icmp_error) { /* about a packet of the frontend: for the backend that had sent it */
		backend = F(quoted_parse)(ctx, pkt.l4.off + ICMP_HLEN, &quoted) ? (void *)0
										 : F(lb_backend_of_reply)(&quoted, CT_SINCE_BOOT);
	} else {
		svc = F(lb_lookup)(&pkt, &key);
		backend = svc ? F(lb_select)(ctx, &pkt, svc, &key, CT_SINCE_BOOT, &ret) : (void *)0;
	}
	if (backend)
		return F(nodeport_translate)(ctx, st, &pkt, backend);
	if (ret == DROP_NO_SERVICE)
		return REFUSE(ctx, st, SLOT(HOST_ICMP_ERROR), ICMP_ERROR_PORT_UNREACHABLE, ret);
	return ret < 0 ? DROP(st, ret) : TC_ACT_OK;
}

/* Slot 6: serves a client of a service. */
SEC("tc")
int F(tail_nodeport)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(host_nodeport)(ctx, st)) : TC_ACT_SHOT;
}

static __always_inline int F(host_translate)(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct F(lb_service) *svc;
	struct pod_place pod;
	struct F(lb_key) key;
	struct F(pkt) pkt;
	int ret;

	if (!serves_network() && !F(masquerade)())
		return TC_ACT_OK;
	if (F(parse)(ctx, &pkt) < 0)
		return TC_ACT_OK; /* the stack may know better */
	if (cfg_tunnel_port && pkt.l4.protocol == IPPROTO_UDP && pkt.l4.dport == bpf_htons(cfg_tunnel_port))
		return TC_ACT_OK;
	ret = F(snat_apply)(ctx, &pkt, TUPLE_F_IN);
	if (ret < 0)
		return DROP(st, ret);
	if (ret == SNAT_DONE) {
		if (F(who_is_here)(pkt.daddr, &pod) != HERE_POD)
			return TC_ACT_OK;
		return F(host_to_pod)(ctx, st, F(whereabouts)(pkt.saddr), &pod);
	}
	if (serves_network() && pkt.l4.icmp_error)
		return JUMP(ctx, st, SLOT(HOST_NODEPORT));
	if (serves_network() && F(lb_has_services)(&pkt)) {
		svc = F(lb_lookup)(&pkt, &key);
		if (svc && svc->flags & LB_F_OUTSIDE)
			return JUMP(ctx, st, SLOT(HOST_NODEPORT));
	}
	return TC_ACT_OK;
}

/* Slot 5: undoes masquerading, and finds what the node serves. */
SEC("tc")
int F(tail_translate)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(host_translate)(ctx, st)) : TC_ACT_SHOT;
}

static __always_inline int F(host_nodeport_snat)(struct __sk_buff *ctx, struct pkt_state *st)
{
	struct F(snat_target) target = {.addr = F(router_ip)()};
	const struct endpoint_info *ep;
	struct F(pkt) pkt;
	int ret;

	if (!serves_network())
		return TC_ACT_OK;
	ret = F(parse)(ctx, &pkt);
	if (!ret && !F(snat_find)(ctx, &pkt, TUPLE_F_OUT, &target))
		ret = F(snat_create)(&pkt, &target);
	if (!ret)
		ret = F(snat_rewrite)(ctx, &pkt, TUPLE_F_OUT, &target);
	if (ret < 0)
		return DROP(st, ret);
	if (st->tunnel_ipv4) {
		ret = encap_redirect(ctx, cfg_tunnel_ifindex, st->tunnel_ipv4, st->src_identity);
		return ret < 0 ? DROP(st, ret) : ret;
	}
	ep = F(endpoint_lookup)(pkt.daddr);
	if (!ep || endpoint_is_host(ep))
		return DROP(st, DROP_UNKNOWN_TARGET);
	return DELIVER(ctx, st, ep);
}

/* Slot 7: to a backend in the name of the router address. */
SEC("tc")
int F(tail_nodeport_snat)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(host_nodeport_snat)(ctx, st)) : TC_ACT_SHOT;
}

#undef DROP_FILE
