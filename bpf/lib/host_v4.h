// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * IPv4 between pods and everything that is not one: the network (node devices) and the node itself
 * (cilium_host). One stage each way, and a hook point before each.
 */
#ifndef __LIB_HOST_V4_H
#define __LIB_HOST_V4_H

#include "config_host.h"
#include "endpoint.h"
#include "icmp_v4.h"
#include "mark.h"
#include "tailcall.h"
#include "trace.h"

#define DROP_FILE FILE_HOST_V4

static __always_inline int host_from_netdev_v4(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct endpoint_info *ep;
	struct iphdr *ip = ipv4_header(ctx);
	__be32 saddr;

	if (!ip)
		return DROP(st, DROP_INVALID);
	saddr = ip->saddr;
	ep = endpoint_lookup_v4(saddr);
	if (ep && !endpoint_is_host(ep)) /* our pods do not live out there */
		return DROP(st, DROP_INVALID_SIP);
	ep = endpoint_lookup_v4(ip->daddr);
	if (!ep || endpoint_is_host(ep))
		return TC_ACT_OK;
	if (ttl_is_spent(ip))
		return JUMP(ctx, st, SLOT_HOST_ICMP_TTL_V4);
	st->src_identity = identity_of_v4(saddr);
	st->dst_identity = ep->sec_id;
	l3_forward(ip, mac_of_u64(ep->mac), mac_of_u64(ep->node_mac));
	bpf_tail_call(ctx, &cilium_call_policy, ep->lxc_id);
	return DROP(st, DROP_EP_NOT_READY);
}

/* Slot 0: straight into the pod, past the stack, if it is for one. */
SEC("tc")
int tail_from_netdev_v4(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, host_from_netdev_v4(ctx, st)) : TC_ACT_SHOT;
}

/* Slot 1: out to the network. */
SEC("tc")
int tail_to_netdev_v4(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	if (!st)
		return TC_ACT_SHOT;
	trace(ctx, st, TRACE_TO_NETWORK, 0);
	return TC_ACT_OK;
}

static __always_inline int host_from_host_v4(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct endpoint_info *ep;
	struct iphdr *ip = ipv4_header(ctx);
	__be32 saddr;

	if (!ip)
		return DROP(st, DROP_INVALID);
	if (ipv4_is_to_many(ip->daddr))
		return DROP(st, DROP_MULTICAST);
	saddr = ip->saddr;
	ep = endpoint_lookup_v4(saddr);
	st->src_identity = ep && endpoint_is_host(ep) ? IDENTITY_HOST : identity_of_v4(saddr);
	ep = endpoint_lookup_v4(ip->daddr);
	/* The pods' prefix is routed here: letting strangers pass would route them here again. */
	if (!ep || endpoint_is_host(ep))
		return DROP(st, DROP_UNKNOWN_TARGET);
	st->dst_identity = ep->sec_id;
	eth_rewrite((void *)ip - IPV4_OFF, mac_of_u64(ep->mac), mac_of_u64(ep->node_mac));
	mark_set_identity(ctx, st->src_identity);
	return bpf_redirect(ep->ifindex, 0);
}

/* Slot 2: from the node to a pod. Its ingress stages run on the egress of its device. */
SEC("tc")
int tail_from_host_v4(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, host_from_host_v4(ctx, st)) : TC_ACT_SHOT;
}

/* Slot 3: from a pod up into the node's stack. */
SEC("tc")
int tail_to_host_v4(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	if (!st)
		return TC_ACT_SHOT;
	trace(ctx, st, TRACE_TO_HOST, 0);
	return TC_ACT_OK;
}

/* Slot 4: a packet from the network ended its TTL here; the answer leaves where it came in. */
SEC("tc")
int tail_icmp_ttl_v4(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	if (!st)
		return TC_ACT_SHOT;
	finish(ctx, st, DROP(st, DROP_TTL_EXCEEDED));
	if (icmp_ttl_exceeded_v4(ctx, cfg_router_ipv4))
		return TC_ACT_SHOT;
	return bpf_redirect(cfg_ifindex, 0);
}

#undef DROP_FILE

#endif
