// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The programs of the pods' devices: the node's ends of their veth pairs. All pods of a node share them; what is a
 * pod's own is in waggle_endpoints (waggle/internal/self.h).
 *
 *	pod -> cil_from_container -> lxc_egress.h -> another pod's lxc_ingress.h, cilium_host, another node, or the stack
 *	cil_to_container or cil_lxc_policy -> lxc_ingress.h -> pod
 */
/* Verified twice as fast, and packets pass no slower for the calls: measured (waggle/internal/once.h). */
#define VERIFY_ONCE __attribute__((noinline, weak))

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#include "config_lxc.h"
#include "arp.h"
#include "ndp.h"

#include "family_v4.h"
#include "parsed.h"
#include "whereabouts.h"
#include "conntrack_tuples.h"
#include "nat.h"
#include "icmp.h"
#include "lb.h"
#include "lb_pod.h"
#include "lxc_policy.h"
#include "lxc_ingress.h"
#include "lxc_short.h"
#include "lxc_egress.h"
#include "family_end.h"

#include "family_v6.h"
#include "parsed.h"
#include "whereabouts.h"
#include "conntrack_tuples.h"
#include "nat.h"
#include "icmp.h"
#include "lb.h"
#include "lb_pod.h"
#include "lxc_policy.h"
#include "lxc_ingress.h"
#include "lxc_short.h"
#include "lxc_egress.h"
#include "family_end.h"

#define DROP_FILE FILE_LXC

static __always_inline int from_container_v6(struct __sk_buff *ctx, struct pkt_state *st,
					     const struct endpoint_config *pod)
{
	if (ndp_is_link_talk(ctx))
		return JUMP(ctx, st, SLOT_LXC_NDP);
	trace(ctx, st, TRACE_FROM_LXC, 0);
	return lxc_from_container_v6(ctx, st, pod);
}

static __always_inline int from_container(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct endpoint_config *pod = pod_of_device(ctx, st);

	if (unlikely(!pod))
		return DROP(st, DROP_EP_NOT_READY);
	st->src_identity = pod->identity;
	if (unlikely(ctx->vlan_present))
		return DROP(st, DROP_VLAN_FILTERED);
	if (cfg_enable_ipv6 && ctx->protocol == bpf_htons(ETH_P_IPV6))
		return from_container_v6(ctx, st, pod);
	if (cfg_enable_ipv4 && ctx->protocol == bpf_htons(ETH_P_IP)) {
		trace(ctx, st, TRACE_FROM_LXC, 0);
		return lxc_from_container_v4(ctx, st, pod);
	}
	if (cfg_enable_ipv4 && ctx->protocol == bpf_htons(ETH_P_ARP))
		return JUMP(ctx, st, SLOT_LXC_ARP);
	return DROP(st, DROP_UNKNOWN_L3);
}

/* Ingress of a pod's device: everything the pod sends. */
SEC("tc")
int cil_from_container(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	if (unlikely(!st))
		return TC_ACT_SHOT;
	state_reset(ctx, st, DIR_EGRESS);
	return finish(ctx, st, from_container(ctx, st));
}

static __always_inline int to_container(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct endpoint_config *pod = pod_of_device(ctx, st);

	if (unlikely(!pod))
		return DROP(st, DROP_EP_NOT_READY);
	st->dst_identity = pod->identity;
	pod_count_at(ctx, pod);
	if (cfg_enable_ipv6 && ctx->protocol == bpf_htons(ETH_P_IPV6))
		return ndp_is_from_link(ctx) ? TC_ACT_OK : lxc_to_container_v6(ctx, st);
	if (cfg_enable_ipv4 && ctx->protocol == bpf_htons(ETH_P_IP))
		return lxc_to_container_v4(ctx, st);
	if (cfg_enable_ipv4 && ctx->protocol == bpf_htons(ETH_P_ARP)) /* the stack, asking for the pod's address */
		return TC_ACT_OK;
	return DROP(st, DROP_UNKNOWN_L3);
}

/* Egress of a pod's device: what the stack, or a redirect, sends to the pod. */
SEC("tc")
int cil_to_container(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	if (unlikely(!st))
		return TC_ACT_SHOT;
	state_reset(ctx, st, DIR_INGRESS);
	return finish(ctx, st, to_container(ctx, st));
}

static __always_inline int lxc_policy(struct __sk_buff *ctx, struct pkt_state *st)
{
	if (cfg_enable_ipv6 && ctx->protocol == bpf_htons(ETH_P_IPV6))
		return lxc_receive_here_v6(ctx, st);
	if (cfg_enable_ipv4 && ctx->protocol == bpf_htons(ETH_P_IP))
		return lxc_receive_here_v4(ctx, st);
	return DROP(st, DROP_UNKNOWN_L3);
}

/* Slot 0 of waggle_call_policy: a packet from a node device's programs for the pod that the state names (deliver.h). */
SEC("tc")
int cil_lxc_policy(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, lxc_policy(ctx, st)) : TC_ACT_SHOT;
}

char bpf_license[] SEC("license") = "Dual BSD/GPL";
