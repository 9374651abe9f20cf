// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Out of the node: pods appear to the world under the address of the device they leave through, and clients of
 * NodePorts to backends that the tunnel does not lead to. What is translated already, replies of NodePorts included,
 * is translated in one stage; another one makes new mappings. Once for each family (family_v4.h), after snat.h.
 */
#define DROP_FILE FILE_MASQUERADE

/*
 * Do pods keep their own addresses towards this one? The table names the node of everything that belongs to the
 * cluster, whether or not a tunnel leads there, and knows the pod CIDRs of nodes that are gone.
 */
static __always_inline _Bool F(in_cluster)(struct pkt_state *st, F(addr) addr)
{
	struct whereabouts where = F(whereabouts)(addr);

	st->dst_identity = where.identity;
	return where.tunnel_ipv4 || where.identity == IDENTITY_HOST ||
	       where.identity == IDENTITY_REMOTE_NODE || where.identity == IDENTITY_UNMANAGED;
}

/* Is the packet from one of our pods to the world? */
static __always_inline _Bool F(leaves_cluster)(struct pkt_state *st, const struct F(pkt) *pkt)
{
	const struct endpoint_info *ep = F(endpoint_lookup)(pkt->saddr);

	return ep && !endpoint_is_host(ep) && !F(in_cluster)(st, pkt->daddr);
}

static __always_inline int F(host_leave)(struct __sk_buff *ctx, const struct pkt_state *st)
{
	trace(ctx, st, TRACE_TO_NETWORK, 0);
	return TC_ACT_OK;
}

static __always_inline int F(host_to_netdev)(struct __sk_buff *ctx, struct pkt_state *st)
{
	struct F(pkt) pkt;
	int parsed, ret;

	if (!cfg_nodeport && !F(masquerade)())
		return F(host_leave)(ctx, st);
	if (mark_get(ctx) == MARK_OVERLAY) {
		mark_set(ctx, 0);
		return F(host_leave)(ctx, st);
	}
	parsed = F(parse)(ctx, &pkt);
	if (!parsed) {
		ret = F(snat_apply)(ctx, &pkt, TUPLE_F_OUT);
		if (ret < 0)
			return DROP(st, ret);
		if (ret == SNAT_DONE)
			return F(host_leave)(ctx, st);
	}
	if (mark_get(ctx) != MARK_NODEPORT && !(F(masquerade)() && F(leaves_cluster)(st, &pkt)))
		return F(host_leave)(ctx, st);
	return parsed < 0 ? DROP(st, parsed) : JUMP(ctx, st, SLOT(HOST_MASQUERADE));
}

/* Slot 1: out to the network. */
SEC("tc")
int F(tail_to_netdev)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(host_to_netdev)(ctx, st)) : TC_ACT_SHOT;
}

/* Does the packet answer somebody who came to the pod under its own address? Then it keeps that. */
static __always_inline _Bool F(answers_stranger)(struct __sk_buff *ctx, const struct F(pkt) *pkt)
{
	struct F(quoted) quoted;
	struct F(ct_tuple) key;

	if (pkt->l4.icmp_error) {
		if (F(quoted_parse)(ctx, pkt->l4.off + ICMP_HLEN, &quoted))
			return 0;
		F(ct_key)(&key, &quoted.pkt, TUPLE_F_CONNECTION);
		return F(ct_find)(&key, &quoted.pkt, CT_IN, CT_SINCE_BOOT, ct_now()) != (void *)0;
	}
	if (tcp_is_syn(&pkt->l4))
		return 0;
	F(ct_reply_key)(&key, pkt, TUPLE_F_CONNECTION);
	return F(ct_find)(&key, pkt, CT_IN, CT_SINCE_BOOT, ct_now()) != (void *)0;
}

static __always_inline int F(host_masquerade)(struct __sk_buff *ctx, struct pkt_state *st)
{
	struct F(snat_target) target = {.addr = F(device_ip)()};
	struct F(pkt) pkt;
	int ret = F(parse)(ctx, &pkt);

	if (ret < 0)
		return DROP(st, ret);
	if (mark_get(ctx) == MARK_NODEPORT)
		mark_set(ctx, 0);
	else if (F(answers_stranger)(ctx, &pkt))
		return F(host_leave)(ctx, st);
	else if (st->dst_identity == IDENTITY_SERVICE) /* at a port where it is none: nobody out there has it */
		return REFUSE(ctx, st, SLOT(HOST_ICMP_ERROR), ICMP_ERROR_PORT_UNREACHABLE, DROP_NO_SERVICE);
	if (F(addr_is_none)(target.addr))
		return DROP(st, DROP_NAT_NO_MAPPING);
	ret = F(snat_create)(&pkt, &target);
	if (!ret)
		ret = F(snat_rewrite)(ctx, &pkt, TUPLE_F_OUT, &target);
	return ret < 0 ? DROP(st, ret) : F(host_leave)(ctx, st);
}

/* Slot 8: the first packet of a connection that needs another source out there. */
SEC("tc")
int F(tail_masquerade)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(host_masquerade)(ctx, st)) : TC_ACT_SHOT;
}

#undef DROP_FILE
