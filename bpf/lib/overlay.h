// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Between this node and the others, through the tunnel (cilium_vxlan). One stage each way, and a hook point before
 * each. Once for each family (family_v4.h), after tunnel_source.h.
 */
#include "config_overlay.h"
#include "deliver.h"
#include "encap.h"
#include "icmp_error.h"
#include "mark.h"
#include "pod_address.h"
#include "tailcall.h"
#include "trace.h"

#define DROP_FILE FILE_OVERLAY_STAGES

/* To the node itself: in at cilium_host, as if it had come over a wire there. */
static __always_inline int F(overlay_to_host)(struct __sk_buff *ctx, struct pkt_state *st)
{
	st->dst_identity = IDENTITY_HOST;
	if (eth_forward(ctx, MAC_OF(cfg_host_mac), MAC_OF(cfg_host_mac)))
		return DROP(st, DROP_INVALID);
	mark_set_identity(ctx, st->src_identity);
	return bpf_redirect(cfg_host_ifindex, BPF_F_INGRESS);
}

static __always_inline int F(overlay_from)(struct __sk_buff *ctx, struct pkt_state *st)
{
	struct F(addresses) ip;
	struct pod_place pod;
	int ret;

	if (F(addresses_load)(ctx, &ip))
		return DROP(st, DROP_INVALID);
	ret = F(tunnel_check_source)(st->tunnel_ipv4, st->src_identity, ip.saddr);
	if (ret < 0)
		return DROP(st, ret);
	ret = F(who_is_here)(ip.daddr, &pod);
	if (ret == HERE_NOBODY) /* routing it on would be routing it back */
		return REFUSE(ctx, st, SLOT(OVERLAY_ICMP_ERROR), ICMP_ERROR_HOST_UNREACHABLE,
			      DROP_UNKNOWN_TARGET);
	if (ret == HERE_NODE)
		return F(overlay_to_host)(ctx, st);
	/* The inner frame was addressed to nobody here: without this, the pod would take it for somebody else's. */
	if (bpf_skb_change_type(ctx, PACKET_HOST))
		return DROP(st, DROP_WRITE_ERROR);
	ret = F(l3_forward)(ctx, mac_of_u64(pod.mac), mac_of_u64(pod.node_mac));
	if (ret == DROP_TTL_EXCEEDED)
		return REFUSE(ctx, st, SLOT(OVERLAY_ICMP_ERROR), ICMP_ERROR_TTL_EXCEEDED, ret);
	if (ret < 0)
		return DROP(st, ret);
	return DELIVER_TO(ctx, st, pod.id, pod.identity);
}

/* Slot 0: from another node to a pod, or to the node itself. */
SEC("tc")
int F(tail_from_overlay)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(overlay_from)(ctx, st)) : TC_ACT_SHOT;
}

/* Slot 1: to another node. What leaves the node then is the tunnel's, and nothing there has to look at it again. */
SEC("tc")
int F(tail_to_overlay)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	if (!st)
		return TC_ACT_SHOT;
	trace(ctx, st, TRACE_TO_OVERLAY, 0);
	mark_set(ctx, MARK_OVERLAY);
	return TC_ACT_OK;
}

/* The answer to a refused packet, back to the node that it came from. */
static __always_inline int F(overlay_icmp_error)(struct __sk_buff *ctx, const struct pkt_state *st)
{
	int ret;

	refuse_report(ctx, st);
	ret = F(icmp_error)(ctx, st, F(router_ip)());
	if (!ret)
		ret = encap_redirect(ctx, cfg_ifindex, st->tunnel_ipv4, IDENTITY_HOST);
	return ret < 0 ? TC_ACT_SHOT : ret;
}

/* Slot 2: the packet is refused, and its sender told. */
SEC("tc")
int F(tail_icmp_error)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? F(overlay_icmp_error)(ctx, st) : TC_ACT_SHOT;
}

#undef DROP_FILE
