// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The programs of node devices (netdev) and of cilium_host (host), the node's own door to its pods. One copy for
 * each device. What is not IP of a family that is on passes untouched.
 *
 *	network -> cil_from_netdev -> the pods' cil_lxc_policy, or the stack
 *	stack -> cil_to_netdev -> network
 *	stack -> cilium_host: cil_from_host -> egress of a pod's device
 *	pod -> cilium_host: cil_to_host -> stack
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>

#include "config_host.h"
#include "idle.h"

#include "family_v4.h"
#include "conntrack_tuples.h"
#include "nat.h"
#include "icmp.h"
#include "lb.h"
#include "whereabouts.h"
#include "snat.h"
#include "host.h"
#include "masquerade.h"
#include "nodeport.h"
#include "tunnel_source.h"
#include "decap_direct.h"
#include "family_end.h"

#include "family_v6.h"
#include "conntrack_tuples.h"
#include "nat.h"
#include "icmp.h"
#include "lb.h"
#include "whereabouts.h"
#include "snat.h"
#include "host.h"
#include "masquerade.h"
#include "nodeport.h"
#include "tunnel_source.h"
#include "decap_direct.h"
#include "family_end.h"

#define DROP_FILE FILE_HOST

/* Is this a packet of a family that has stages here? Frames without an Ethernet header are the stack's alone. */
static __always_inline _Bool is_ipv4(const struct __sk_buff *ctx)
{
	return cfg_enable_ipv4 && !cfg_is_l3_device && ctx->protocol == bpf_htons(ETH_P_IP);
}

static __always_inline _Bool is_ipv6(const struct __sk_buff *ctx)
{
	return cfg_enable_ipv6 && !cfg_is_l3_device && ctx->protocol == bpf_htons(ETH_P_IPV6);
}

/* On to a hook point, of the packet's family. */
#define JUMP_FAMILY(ctx, st, hook)                                                      \
	(is_ipv6(ctx) ? JUMP(ctx, st, WAGGLE_SLOT_##hook##_v6)                          \
		      : JUMP(ctx, st, WAGGLE_SLOT_##hook##_v4))

/* Does nobody look at what passes a hook point of the packet's family? */
#define NOBODY_AT(ctx, hook)                                                   \
	(is_ipv6(ctx) ? nobody_at(IDLE_HOST, WAGGLE_SLOT_##hook##_v6)          \
		      : nobody_at(IDLE_HOST, WAGGLE_SLOT_##hook##_v4))

/* Is there nothing to be done for it here? What is in the tunnel is for the tunnel's own programs. */
static __always_inline _Bool from_netdev_is_clear(struct __sk_buff *ctx)
{
	return is_ipv4(ctx) && cfg_tunnel_port && encap_is_plain(ctx, cfg_node_ipv4, cfg_tunnel_port) &&
	       nobody_at(IDLE_HOST, WAGGLE_SLOT_from_netdev_v4);
}

/* A packet of the tunnel: straight to its pod, or up to the tunnel's device. */
static __always_inline int from_tunnel(struct __sk_buff *ctx)
{
	const struct vxlan_headers *outer = decap_outer(ctx);
	__u32 identity;
	__be32 node;

	if (!outer)
		return TC_ACT_OK;
	identity = tunnel_identity(bpf_ntohl(outer->vni) >> 8);
	node = outer->ip.saddr;
	if (cfg_enable_ipv4 && outer->inner.h_proto == bpf_htons(ETH_P_IP))
		return decap_to_pod_v4(ctx, node, identity);
	if (cfg_enable_ipv6 && outer->inner.h_proto == bpf_htons(ETH_P_IPV6))
		return decap_to_pod_v6(ctx, node, identity);
	return TC_ACT_OK;
}

/* Ingress of a node device. Frames that a bridge or a tap overhears for somebody else are not ours either. */
SEC("tc")
int cil_from_netdev(struct __sk_buff *ctx)
{
	struct pkt_state *st;

	if ((!is_ipv4(ctx) && !is_ipv6(ctx)) || ctx->pkt_type == PACKET_OTHERHOST)
		return TC_ACT_OK;
	if (from_netdev_is_clear(ctx))
		return from_tunnel(ctx);
	st = state_get();
	if (!st)
		return TC_ACT_SHOT;
	state_reset(ctx, st, DIR_INGRESS);
	ctx->cb[HOOK_STATS_CB] = cfg_stats_base;
	trace(ctx, st, TRACE_FROM_NETWORK, 0);
	return finish(ctx, st, JUMP_FAMILY(ctx, st, from_netdev));
}

/* Are sources of the packet's family translated here, or services? Nothing else is done on the way out. */
static __always_inline _Bool translates(const struct __sk_buff *ctx)
{
	return cfg_nodeport || (is_ipv6(ctx) ? masquerade_v6() : masquerade_v4());
}

/* Egress of a node device. */
SEC("tc")
int cil_to_netdev(struct __sk_buff *ctx)
{
	struct pkt_state *st;

	if (!is_ipv4(ctx) && !is_ipv6(ctx))
		return TC_ACT_OK;
	if (!translates(ctx) && NOBODY_AT(ctx, to_netdev))
		return TC_ACT_OK;
	if (translates(ctx) && mark_get(ctx) == MARK_OVERLAY && NOBODY_AT(ctx, to_netdev)) {
		mark_set(ctx, 0);
		return TC_ACT_OK;
	}
	st = state_get();
	if (!st)
		return TC_ACT_SHOT;
	state_reset(ctx, st, DIR_EGRESS);
	ctx->cb[HOOK_STATS_CB] = cfg_stats_base;
	return finish(ctx, st, JUMP_FAMILY(ctx, st, to_netdev));
}

/* Egress of cilium_host: the node talks to its pods. */
SEC("tc")
int cil_from_host(struct __sk_buff *ctx)
{
	struct pkt_state *st;

	if (!is_ipv4(ctx) && !is_ipv6(ctx))
		return TC_ACT_OK;
	st = state_get();
	if (!st)
		return TC_ACT_SHOT;
	state_reset(ctx, st, DIR_INGRESS);
	ctx->cb[HOOK_STATS_CB] = cfg_stats_base;
	trace(ctx, st, TRACE_FROM_HOST, 0);
	return finish(ctx, st, JUMP_FAMILY(ctx, st, from_host));
}

/* Ingress of cilium_host: a pod talks to its node. The identity in the mark has arrived: it is cleared. */
SEC("tc")
int cil_to_host(struct __sk_buff *ctx)
{
	struct pkt_state *st;

	if (!is_ipv4(ctx) && !is_ipv6(ctx))
		return TC_ACT_OK;
	st = state_get();
	if (!st)
		return TC_ACT_SHOT;
	state_reset(ctx, st, DIR_EGRESS);
	ctx->cb[HOOK_STATS_CB] = cfg_stats_base;
	st->src_identity = mark_take_identity(ctx);
	st->dst_identity = IDENTITY_HOST;
	return finish(ctx, st, JUMP_FAMILY(ctx, st, to_host));
}

char bpf_license[] SEC("license") = "Dual BSD/GPL";
