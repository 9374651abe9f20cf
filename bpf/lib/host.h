// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Between pods and everything that is not one: the network (node devices) and the node itself (cilium_host). One
 * stage each way, and a hook point before each. Once for each family (family_v4.h).
 */
#include "config_host.h"
#include "encap.h"
#include "endpoint.h"
#include "icmp_error.h"
#include "icmp_v4.h"
#include "mark.h"
#include "tailcall.h"
#include "trace.h"

#define DROP_FILE FILE_HOST_STAGES

static __always_inline int F(host_from_netdev)(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct endpoint_info *ep;
	struct F(addresses) ip;
	int ret;

	if (F(addresses_load)(ctx, &ip))
		return DROP(st, DROP_INVALID);
	ep = F(endpoint_lookup)(ip.saddr);
	if (ep && !endpoint_is_host(ep)) /* our pods do not live out there */
		return DROP(st, DROP_INVALID_SIP);
	ep = F(endpoint_lookup)(ip.daddr);
	if (!ep || endpoint_is_host(ep))
		return TC_ACT_OK;
	ret = F(l3_forward)(ctx, mac_of_u64(ep->mac), mac_of_u64(ep->node_mac));
	if (ret == DROP_TTL_EXCEEDED)
		return REFUSE(ctx, st, SLOT(HOST_ICMP_ERROR), ICMP_ERROR_TTL_EXCEEDED, ret);
	if (ret < 0)
		return DROP(st, ret);
	st->src_identity = F(identity_of)(ip.saddr);
	st->dst_identity = ep->sec_id;
	bpf_tail_call(ctx, &cilium_call_policy, ep->lxc_id);
	return DROP(st, DROP_EP_NOT_READY);
}

/* Slot 0: straight into the pod, past the stack, if it is for one. */
SEC("tc")
int F(tail_from_netdev)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(host_from_netdev)(ctx, st)) : TC_ACT_SHOT;
}

/* Slot 1: out to the network. */
SEC("tc")
int F(tail_to_netdev)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	if (!st)
		return TC_ACT_SHOT;
	trace(ctx, st, TRACE_TO_NETWORK, 0);
	return TC_ACT_OK;
}

static __always_inline int F(host_from_host)(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct remote_endpoint_info *info;
	const struct endpoint_info *ep;
	struct F(addresses) ip;
	int ret;

	if (F(addresses_load)(ctx, &ip))
		return DROP(st, DROP_INVALID);
	if (F(is_to_many)(ip.daddr))
		return DROP(st, DROP_MULTICAST);
	ep = F(endpoint_lookup)(ip.saddr);
	st->src_identity = ep && endpoint_is_host(ep) ? IDENTITY_HOST : F(identity_of)(ip.saddr);
	ep = F(endpoint_lookup)(ip.daddr);
	if (!ep && cfg_tunnel_ifindex) {
		info = F(ipcache_lookup)(ip.daddr);
		if (info && info->tunnel_ipv4) {
			st->dst_identity = info->sec_id;
			ret = encap_redirect(ctx, cfg_tunnel_ifindex, info->tunnel_ipv4, st->src_identity);
			return ret < 0 ? DROP(st, ret) : ret;
		}
	}
	/* The pods' prefixes are routed here: letting strangers pass would route them here again. */
	if (!ep || endpoint_is_host(ep))
		return DROP(st, DROP_UNKNOWN_TARGET);
	st->dst_identity = ep->sec_id;
	if (eth_forward(ctx, mac_of_u64(ep->mac), mac_of_u64(ep->node_mac)))
		return DROP(st, DROP_INVALID);
	mark_set_identity(ctx, st->src_identity);
	return bpf_redirect(ep->ifindex, 0);
}

/* Slot 2: from the node to a pod, or to another node's. A pod's ingress stages run on the egress of its device. */
SEC("tc")
int F(tail_from_host)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(host_from_host)(ctx, st)) : TC_ACT_SHOT;
}

/* Slot 3: from a pod up into the node's stack. */
SEC("tc")
int F(tail_to_host)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	if (!st)
		return TC_ACT_SHOT;
	trace(ctx, st, TRACE_TO_HOST, 0);
	return TC_ACT_OK;
}

/* Slot 4: a packet from the network is refused; the answer leaves where it came in. */
SEC("tc")
int F(tail_icmp_error)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	if (!st)
		return TC_ACT_SHOT;
	refuse_report(ctx, st);
	if (F(icmp_error)(ctx, st, F(router_ip)()))
		return TC_ACT_SHOT;
	return bpf_redirect(cfg_ifindex, 0);
}

#undef DROP_FILE
