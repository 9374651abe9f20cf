// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The way of a pod's IPv4 packet out of the pod:
 *
 *	service -> conntrack -> policy -> forward
 *
 * Each stage ends by jumping to the hook point before the next one.
 */
#ifndef __LIB_LXC_EGRESS_V4_H
#define __LIB_LXC_EGRESS_V4_H

#include "endpoint.h"
#include "icmp_v4.h"
#include "lb_v4.h"
#include "mark.h"
#include "policy.h"
#include "tailcall.h"

#define DROP_FILE FILE_LXC_EGRESS_V4

/* A packet as the pod sent it. Called by cil_from_container. */
static __always_inline int lxc_from_container_v4(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct iphdr *ip = ipv4_header(ctx);

	if (!ip)
		return DROP(st, DROP_INVALID);
	if (ip->saddr != cfg_endpoint_ipv4)
		return DROP(st, DROP_INVALID_SIP);
	if (ipv4_is_to_many(ip->daddr))
		return DROP(st, DROP_MULTICAST);
	return JUMP(ctx, st, WAGGLE_SLOT_from_container_pre_service_v4);
}

static __always_inline int lxc_service_v4(struct __sk_buff *ctx, struct pkt_state *st)
{
	struct pkt_v4 pkt;
	int ret = parse_v4(ctx, &pkt);

	if (ret < 0)
		return DROP(st, ret);
	ret = lb4_translate(ctx, &pkt, st);
	if (ret < 0)
		return DROP(st, ret);
	return JUMP(ctx, st, WAGGLE_SLOT_from_container_pre_ct_v4);
}

/* Slot 0: service lookup and DNAT. */
SEC("tc")
int tail_service_v4(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, lxc_service_v4(ctx, st)) : TC_ACT_SHOT;
}

static __always_inline int lxc_ct_egress_v4(struct __sk_buff *ctx, struct pkt_state *st)
{
	struct ct_entry *entry = (void *)0;
	struct pkt_v4 pkt;
	int ret = parse_v4(ctx, &pkt);

	if (ret < 0)
		return DROP(st, ret);
	if (!l4_need(pkt.protocol))
		return DROP(st, DROP_CT_UNKNOWN_PROTO);
	st->ct_state = ct_lookup_v4(ctx, &pkt, DIR_EGRESS, &entry);
	st->ct_denied = entry && entry->flags & CT_F_DENIED;
	/* A service that came back under another index: replies follow the new one. */
	if (entry && st->ct_state == CT_STATE_ESTABLISHED && entry->rev_nat_index != st->rev_nat_index)
		entry->rev_nat_index = st->rev_nat_index;
	return JUMP(ctx, st, WAGGLE_SLOT_from_container_pre_policy_v4);
}

/* Slot 1: what connection does the packet belong to? */
SEC("tc")
int tail_ct_egress_v4(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, lxc_ct_egress_v4(ctx, st)) : TC_ACT_SHOT;
}

/* May this pod talk to the packet's destination? 0 or DROP_*. */
static __always_inline int lxc_egress_verdict_v4(struct __sk_buff *ctx, struct pkt_state *st,
						 const struct pkt_v4 *pkt)
{
	__u8 match_type = POLICY_MATCH_ALL;
	int verdict = 0;

	if (cfg_enforce_egress || st->observe)
		st->dst_identity = identity_of_v4(pkt->daddr);
	if (cfg_enforce_egress)
		verdict = policy_check(st->dst_identity, DIR_EGRESS, pkt->protocol, pkt->dport,
				       &match_type);
	if (verdict < 0 || st->ct_state == CT_STATE_NEW)
		policy_notify(ctx, st, st->dst_identity, verdict, pkt->protocol, pkt->dport,
			      match_type);
	return verdict;
}

static __always_inline int lxc_policy_egress_v4(struct __sk_buff *ctx, struct pkt_state *st)
{
	struct pkt_v4 pkt;
	int ret;

	/* Replies were allowed with the connection; without enforcement only new ones leave a trace. */
	if (st->ct_state == CT_STATE_NEW || (cfg_enforce_egress && st->ct_state == CT_STATE_ESTABLISHED)) {
		ret = parse_v4(ctx, &pkt);
		if (ret < 0)
			return DROP(st, ret);
		ret = lxc_egress_verdict_v4(ctx, st, &pkt);
		if (st->ct_state == CT_STATE_ESTABLISHED && st->ct_denied != (ret < 0))
			ct_set_denied_v4(&pkt, DIR_EGRESS, ret < 0);
		if (ret < 0)
			return DROP(st, ret);
		if (st->ct_state == CT_STATE_NEW) {
			ret = ct_create_v4(ctx, &pkt, st);
			if (ret < 0)
				return DROP(st, ret);
		}
	}
	/* The pod's rules have turned the connection down that this answers: do they still? */
	if (cfg_enforce_ingress && st->ct_denied && st->ct_state != CT_STATE_ESTABLISHED) {
		ret = parse_v4(ctx, &pkt);
		if (!ret)
			ret = policy_check_reply(identity_of_v4(pkt.daddr), DIR_INGRESS, st, &pkt);
		if (ret < 0)
			return DROP(st, ret);
	}
	return JUMP(ctx, st, WAGGLE_SLOT_from_container_pre_forward_v4);
}

/* Slot 2: may the pod send it? New connections are remembered here, once they are allowed. */
SEC("tc")
int tail_policy_egress_v4(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, lxc_policy_egress_v4(ctx, st)) : TC_ACT_SHOT;
}

/* To the node itself: in at cilium_host, as if it had come over a wire there. */
static __always_inline int lxc_to_host_v4(struct __sk_buff *ctx, struct pkt_state *st, struct iphdr *ip)
{
	eth_rewrite((void *)ip - IPV4_OFF, MAC_OF(cfg_host_mac), MAC_OF(cfg_node_mac));
	mark_set_identity(ctx, cfg_identity);
	count_forwarded(ctx, DIR_EGRESS);
	trace(ctx, st, TRACE_TO_HOST, 0);
	return bpf_redirect(cfg_host_ifindex, BPF_F_INGRESS);
}

static __always_inline int lxc_forward_v4(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct endpoint_info *ep;
	struct iphdr *ip = ipv4_header(ctx);

	if (!ip)
		return DROP(st, DROP_INVALID);
	/* A reply to the name that the pod has for itself behind a service comes back to it. */
	ep = endpoint_lookup_v4(ip->daddr == LB4_LOOPBACK ? cfg_endpoint_ipv4 : ip->daddr);
	if (!ep) { /* elsewhere: the stack routes, and minds the TTL */
		count_forwarded(ctx, DIR_EGRESS);
		trace(ctx, st, TRACE_TO_STACK, 0);
		return TC_ACT_OK;
	}
	if (endpoint_is_host(ep))
		return lxc_to_host_v4(ctx, st, ip);
	if (ttl_is_spent(ip))
		return JUMP(ctx, st, SLOT_LXC_ICMP_TTL_V4);
	l3_forward(ip, mac_of_u64(ep->mac), mac_of_u64(ep->node_mac));
	st->dst_identity = ep->sec_id;
	bpf_tail_call(ctx, &cilium_call_policy, ep->lxc_id);
	return DROP(st, DROP_EP_NOT_READY);
}

/* Slot 3: where to? Another pod of this node, the node, or the stack. */
SEC("tc")
int tail_forward_v4(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, lxc_forward_v4(ctx, st)) : TC_ACT_SHOT;
}

/*
 * Slot 8: the TTL ended here. The answer goes back through the egress of the pod's device, where it is taken for
 * what it is: an error about a connection of the pod.
 */
SEC("tc")
int tail_icmp_ttl_v4(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	if (!st)
		return TC_ACT_SHOT;
	finish(ctx, st, DROP(st, DROP_TTL_EXCEEDED));
	if (icmp_ttl_exceeded_v4(ctx, cfg_router_ipv4))
		return TC_ACT_SHOT;
	mark_set_identity(ctx, IDENTITY_HOST);
	return bpf_redirect(cfg_ifindex, 0);
}

#undef DROP_FILE

#endif
