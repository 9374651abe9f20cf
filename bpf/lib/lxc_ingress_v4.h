// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The way of an IPv4 packet into a pod, whichever way it came:
 *
 *	conntrack -> policy -> deliver
 *
 * Each stage ends by jumping to the hook point before the next one.
 */
#ifndef __LIB_LXC_INGRESS_V4_H
#define __LIB_LXC_INGRESS_V4_H

#include "lb_v4.h"
#include "mark.h"
#include "policy.h"
#include "tailcall.h"

#define DROP_FILE FILE_LXC_INGRESS_V4

/* A packet that the stack sends to the pod's device. Called by cil_to_container. */
static __always_inline int lxc_to_container_v4(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct iphdr *ip;

	st->src_identity = mark_take_identity(ctx);
	if (!st->src_identity) {
		ip = ipv4_header(ctx);
		if (!ip)
			return DROP(st, DROP_INVALID);
		st->src_identity = identity_of_v4(ip->saddr);
	}
	st->dst_identity = cfg_identity;
	st->delivery = DELIVER_STACK;
	trace(ctx, st, TRACE_FROM_STACK, cfg_endpoint_id);
	return JUMP(ctx, st, WAGGLE_SLOT_to_container_pre_ct_v4);
}

static __always_inline int lxc_ct_ingress_v4(struct __sk_buff *ctx, struct pkt_state *st)
{
	struct ct_entry *entry = (void *)0;
	struct pkt_v4 pkt;
	int ret = parse_v4(ctx, &pkt);

	if (ret < 0)
		return DROP(st, ret);
	if (!l4_need(pkt.protocol))
		return DROP(st, DROP_CT_UNKNOWN_PROTO);
	st->ct_state = ct_lookup_v4(ctx, &pkt, DIR_INGRESS, &entry);
	st->rev_nat_index = 0;
	st->ct_denied = entry && entry->flags & CT_F_DENIED;
	if (entry && (st->ct_state == CT_STATE_REPLY || st->ct_state == CT_STATE_RELATED))
		st->rev_nat_index = entry->rev_nat_index;
	return JUMP(ctx, st, WAGGLE_SLOT_to_container_pre_policy_v4);
}

/* Slot 4: what connection does the packet belong to, and was it to a service? */
SEC("tc")
int tail_ct_ingress_v4(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, lxc_ct_ingress_v4(ctx, st)) : TC_ACT_SHOT;
}

/* May the packet's sender talk to this pod? 0 or DROP_*. */
static __always_inline int lxc_ingress_verdict_v4(struct __sk_buff *ctx, const struct pkt_state *st,
						  const struct pkt_v4 *pkt)
{
	__u8 match_type = POLICY_MATCH_ALL;
	int verdict = 0;

	if (cfg_enforce_ingress)
		verdict = policy_check(st->src_identity, DIR_INGRESS, pkt->protocol, pkt->dport,
				       &match_type);
	if (verdict < 0 || st->ct_state == CT_STATE_NEW)
		policy_notify(ctx, st, st->src_identity, verdict, pkt->protocol, pkt->dport,
			      match_type);
	return verdict;
}

static __always_inline int lxc_policy_ingress_v4(struct __sk_buff *ctx, struct pkt_state *st)
{
	struct pkt_v4 pkt;
	int ret;

	/* Replies were allowed with the connection; without enforcement only new ones leave a trace. */
	if (st->ct_state == CT_STATE_NEW ||
	    (cfg_enforce_ingress && st->ct_state == CT_STATE_ESTABLISHED)) {
		ret = parse_v4(ctx, &pkt);
		if (ret < 0)
			return DROP(st, ret);
		ret = lxc_ingress_verdict_v4(ctx, st, &pkt);
		if (st->ct_state == CT_STATE_ESTABLISHED && st->ct_denied != (ret < 0))
			ct_set_denied_v4(&pkt, DIR_INGRESS, ret < 0);
		if (ret < 0)
			return DROP(st, ret);
		if (st->ct_state == CT_STATE_NEW) {
			ret = ct_create_v4(ctx, &pkt, st);
			if (ret < 0)
				return DROP(st, ret);
		}
	}
	/* The pod's rules have turned its own connection down: do they still? */
	if (cfg_enforce_egress && st->ct_denied && st->ct_state != CT_STATE_ESTABLISHED) {
		ret = parse_v4(ctx, &pkt);
		if (!ret)
			ret = policy_check_reply(st->src_identity, DIR_EGRESS, st, &pkt);
		if (ret < 0)
			return DROP(st, ret);
	}
	return JUMP(ctx, st, WAGGLE_SLOT_to_container_pre_deliver_v4);
}

/* Slot 5: may the pod receive it? New connections are remembered here, once they are allowed. */
SEC("tc")
int tail_policy_ingress_v4(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, lxc_policy_ingress_v4(ctx, st)) : TC_ACT_SHOT;
}

static __always_inline int lxc_deliver_v4(struct __sk_buff *ctx, struct pkt_state *st)
{
	int ret;

	if (st->rev_nat_index) {
		ret = lb4_reverse(ctx, st);
		if (ret < 0)
			return DROP(st, ret);
	}
	count_forwarded(ctx, DIR_INGRESS);
	trace(ctx, st, TRACE_TO_LXC, cfg_endpoint_id);
	if (st->delivery == DELIVER_PEER)
		return bpf_redirect_peer(cfg_ifindex, 0);
	return TC_ACT_OK; /* we are on the egress of the pod's device */
}

/* Slot 6: undo service translation and hand the packet to the pod. */
SEC("tc")
int tail_deliver_v4(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, lxc_deliver_v4(ctx, st)) : TC_ACT_SHOT;
}

#undef DROP_FILE

#endif
