// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The way of a pod's packet out of the pod:
 *
 *	service -> conntrack -> policy -> forward
 *
 * Each stage ends by jumping to the hook point before the next one. Once for each family (family_v4.h), after
 * lb.h, lxc_policy.h, lxc_ingress.h and lxc_short.h.
 */
#include "encap.h"
#include "encap_direct.h"
#include "endpoint.h"
#include "forwarded.h"
#include "icmp_error.h"
#include "mark.h"
#include "tailcall.h"

#define DROP_FILE FILE_LXC_EGRESS

/* A packet as the pod sent it. Called by cil_from_container. */
static __always_inline int F(lxc_from_container)(struct __sk_buff *ctx, struct pkt_state *st,
						 const struct endpoint_config *pod)
{
	struct F(addresses) ip;

	if (unlikely(F(addresses_load)(ctx, &ip)))
		return DROP(st, DROP_INVALID);
	if (unlikely(!F(addr_equal)(ip.saddr, F(pod_ip)(pod))))
		return DROP(st, DROP_INVALID_SIP);
	if (unlikely(F(is_to_many)(ip.daddr)))
		return DROP(st, DROP_MULTICAST);
	return F(lxc_depart)(ctx, st, pod);
}

static __always_inline int F(lxc_service)(struct __sk_buff *ctx, struct pkt_state *st)
{
	struct F(pkt) *pkt;
	int ret = F(parse_once)(ctx, st, &pkt);

	if (ret < 0)
		return DROP(st, ret);
	ret = F(lb_translate)(ctx, pkt, st);
	if (ret == DROP_NO_SERVICE)
		return REFUSE(ctx, st, SLOT(LXC_ICMP_ERROR), ICMP_ERROR_PORT_UNREACHABLE, ret);
	if (ret < 0)
		return DROP(st, ret);
	return JUMP(ctx, st, HOOK_SLOT(from_container_pre_ct));
}

/* Slot 0: service lookup and DNAT. */
SEC("tc")
int F(tail_service)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(lxc_service)(ctx, st)) : TC_ACT_SHOT;
}

static __always_inline int F(lxc_ct_egress)(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct endpoint_config *pod = endpoint_self(st);
	int ret = F(lxc_ct)(ctx, st, pod, DIR_EGRESS);
	__u64 idle = idle_hooks(IDLE_LXC);

	if (ret < 0)
		return ret;
	return pod && (idle & HOOKS_AFTER_CT) == HOOKS_AFTER_CT
		       ? F(lxc_after_ct)(ctx, st, &st->F(pkt), pod, idle)
		       : JUMP(ctx, st, HOOK_SLOT(from_container_pre_policy));
}

/* Slot 1: what connection does the packet belong to? */
SEC("tc")
int F(tail_ct_egress)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(lxc_ct_egress)(ctx, st)) : TC_ACT_SHOT;
}

static __always_inline int F(lxc_policy_egress)(struct __sk_buff *ctx, struct pkt_state *st)
{
	int ret = F(lxc_policy)(ctx, st, DIR_EGRESS);

	return ret < 0 ? ret : F(lxc_after_policy)(ctx, st);
}

/* Slot 2: may the pod send it? New connections are remembered here, once they are allowed. */
SEC("tc")
int F(tail_policy_egress)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(lxc_policy_egress)(ctx, st)) : TC_ACT_SHOT;
}

/* To the node itself: in at cilium_host, as if it had come over a wire there. */
static __always_inline int F(lxc_to_host)(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct endpoint_config *pod = endpoint_self(st);

	if (!pod)
		return DROP(st, DROP_EP_NOT_READY);
	if (eth_forward(ctx, MAC_OF(cfg_host_mac), mac_of_u64(pod->node_mac)))
		return DROP(st, DROP_INVALID);
	F(ct_forget)(ctx, st);
	mark_set_identity(ctx, st->src_identity);
	count_forwarded(ctx, DIR_EGRESS);
	trace(ctx, st, TRACE_TO_HOST, 0);
	return bpf_redirect(cfg_host_ifindex, BPF_F_INGRESS);
}

/* To another pod, or back to this one: its stages are beside ours, and begin where ours end. */
static __always_inline int F(lxc_to_pod)(struct __sk_buff *ctx, struct pkt_state *st,
					 const struct endpoint_config *pod)
{
	int ret = F(l3_forward)(ctx, mac_of_u64(pod->mac), mac_of_u64(pod->node_mac));

	if (ret == DROP_TTL_EXCEEDED)
		return REFUSE(ctx, st, SLOT(LXC_ICMP_ERROR), ICMP_ERROR_TTL_EXCEEDED, ret);
	if (ret < 0)
		return DROP(st, ret);
	count_forwarded(ctx, DIR_EGRESS);
	st->endpoint_id = pod->id;
	return F(lxc_receive)(ctx, st);
}

/* Refuses what the tunnel cannot take and may not be cut for it; anything else is cut outside, when it must. */
static __always_inline _Bool F(lxc_too_long)(struct __sk_buff *ctx, struct pkt_state *st)
{
	struct F(pkt) *pkt;

	if (!cfg_tunnel_mtu || ctx->len - ETH_HLEN <= cfg_tunnel_mtu || F(may_fragment)(ctx))
		return 0;
	return !F(parse_once)(ctx, st, &pkt) && encap_too_long(ctx, &pkt->l4, cfg_tunnel_mtu);
}

/* To another node's pods, or to that node itself: through the tunnel. */
static __always_inline int F(lxc_to_tunnel)(struct __sk_buff *ctx, struct pkt_state *st)
{
	int ret;

	if (F(lxc_too_long)(ctx, st)) {
		st->icmp_mtu = cfg_tunnel_mtu;
		return REFUSE(ctx, st, SLOT(LXC_ICMP_ERROR), ICMP_ERROR_TOO_BIG, DROP_FRAG_NEEDED);
	}
	F(ct_forget)(ctx, st);
	/* Tunnels do not look at the frame's addresses. */
	ret = F(l3_forward)(ctx, MAC_OF(cfg_host_mac), MAC_OF(cfg_host_mac));
	if (ret == DROP_TTL_EXCEEDED)
		return REFUSE(ctx, st, SLOT(LXC_ICMP_ERROR), ICMP_ERROR_TTL_EXCEEDED, ret);
	if (ret < 0)
		return DROP(st, ret);
	count_forwarded(ctx, DIR_EGRESS);
	trace(ctx, st, TRACE_TO_OVERLAY, 0);
	ret = F(encap_direct)(ctx, st->tunnel_ipv4, st->src_identity);
	if (!ret)
		ret = encap_redirect(ctx, cfg_tunnel_ifindex, st->tunnel_ipv4, st->src_identity);
	return ret < 0 ? DROP(st, ret) : ret;
}

static __always_inline int F(lxc_forward)(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct endpoint_info *ep = (void *)0;
	const struct endpoint_config *pod;
	struct whereabouts where = {};
	struct F(addresses) ip;

	if (F(addresses_load)(ctx, &ip))
		return DROP(st, DROP_INVALID);
	/* A reply to the name that the pod has for itself behind a service comes back to it. */
	pod = F(addr_equal)(ip.daddr, F(lb_loopback)()) ? endpoint_self(st) : F(pod_known_at)(ip.daddr);
	if (!pod) {
		/* Asked anew: a plugin may have sent the packet elsewhere since policy saw it. */
		where = F(resolve_destination)(st, ip.daddr);
		if (F(may_be_here)(where, cfg_node_ipv4))
			ep = F(endpoint_lookup)(ip.daddr);
	}
	if (ep) {
		if (endpoint_is_host(ep))
			return F(lxc_to_host)(ctx, st);
		F(pod_remember_at)(ip.daddr, ep->lxc_id);
		pod = pod_by_id(ep->lxc_id);
		if (!pod)
			return DROP(st, DROP_EP_NOT_READY);
	}
	if (pod)
		return F(lxc_to_pod)(ctx, st, pod);
	if (cfg_tunnel_ifindex && where.tunnel_ipv4 && where.tunnel_ipv4 != cfg_node_ipv4)
		return F(lxc_to_tunnel)(ctx, st);
	/* A service's address at a port where it is none: nobody out there has it. */
	if (st->dst_identity == IDENTITY_SERVICE)
		return REFUSE(ctx, st, SLOT(LXC_ICMP_ERROR), ICMP_ERROR_PORT_UNREACHABLE, DROP_NO_SERVICE);
	/* Elsewhere: the stack routes, and minds TTL and MTU. */
	count_forwarded(ctx, DIR_EGRESS);
	trace(ctx, st, TRACE_TO_STACK, 0);
	return TC_ACT_OK;
}

/* Slot 3: where to? Another pod of this node, the node, another node, or the stack. */
SEC("tc")
int F(tail_forward)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(lxc_forward)(ctx, st)) : TC_ACT_SHOT;
}

/*
 * Slot 8: the packet is refused, and its sender told. The answer goes back through the egress of the pod's device,
 * where it is taken for what it is: an error about a connection of the pod.
 */
SEC("tc")
int F(tail_icmp_error)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	if (!st)
		return TC_ACT_SHOT;
	refuse_report(ctx, st);
	if (F(icmp_error)(ctx, st, F(router_ip)()))
		return TC_ACT_SHOT;
	/* No connection exists that the rules could know this by; it is about the pod's own packet. */
	if (st->icmp_error == ICMP_ERROR_PORT_UNREACHABLE)
		return bpf_redirect_peer(ctx->ifindex, 0);
	mark_set_identity(ctx, IDENTITY_HOST);
	return bpf_redirect(ctx->ifindex, 0);
}

#undef DROP_FILE
