// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The conntrack and policy stages of a pod, whose logic is the same both ways: `dir` says which way the packet goes.
 * Once for each family (family_v4.h), after conntrack_tuples.h.
 */
#include <waggle/internal/branch.h>
#include <waggle/internal/ipcache.h>
#include "pod.h"
#include "policy.h"
#include "tailcall.h"

#define DROP_FILE FILE_LXC_POLICY

/* Are the pod's rules for packets (or replies to packets) of this direction in force? */
static __always_inline _Bool F(lxc_enforces)(const struct endpoint_config *pod, int dir)
{
	return pod->flags & (dir == DIR_EGRESS ? ENDPOINT_F_ENFORCE_EGRESS : ENDPOINT_F_ENFORCE_INGRESS);
}

static __always_inline _Bool F(lxc_has_rules)(const struct endpoint_config *pod)
{
	return F(lxc_enforces)(pod, DIR_INGRESS) || F(lxc_enforces)(pod, DIR_EGRESS);
}

/* Finds out who has the destination's address and behind which node it is. */
static __always_inline struct whereabouts F(resolve_destination)(struct pkt_state *st, F(addr) daddr)
{
	struct whereabouts where = F(whereabouts)(daddr);

	st->dst_identity = where.identity;
	st->tunnel_ipv4 = where.tunnel_ipv4;
	return where;
}

/* Who is at the other end. */
static __always_inline __u32 F(lxc_peer)(struct pkt_state *st, const struct F(pkt) *pkt, int dir)
{
	if (dir == DIR_INGRESS) /* known from the entry program on */
		return st->src_identity;
	if (!st->dst_identity)
		F(resolve_destination)(st, pkt->daddr);
	return st->dst_identity;
}

/* What connection does the packet belong to? 0 or DROP_*. */
static __always_inline int F(lxc_ct)(struct __sk_buff *ctx, struct pkt_state *st, const struct endpoint_config *pod,
				     int dir)
{
	struct ct_entry *entry = (void *)0;
	struct F(pkt) *pkt;
	_Bool enforces;
	int ret;

	if (unlikely(!pod))
		return DROP(st, DROP_EP_NOT_READY);
	enforces = F(lxc_has_rules)(pod);
	if (dir == DIR_INGRESS && likely(ctx->cb[PARSED_CB] == IPV && ct_take_over(st, pod->created_s, enforces)))
		return 0;
	ret = F(parse_once)(ctx, st, &pkt);
	if (unlikely(ret < 0))
		return DROP(st, ret);
	if (unlikely(!l4_need(pkt->l4.protocol)))
		return DROP(st, DROP_CT_UNKNOWN_PROTO);
	st->ct_bits = (st->ct_bits & CT_B_COUNTED) | (enforces ? 0 : CT_B_GUESSED);
	F(ct_lookup)(ctx, pkt, st, dir, pod->created_s, &entry);
	/*
	 * From outside the cluster: on the way out, a pod that answers under its own address is told by the connection
	 * (masquerade.h), and what was lost may have to be sent once more.
	 */
	if (dir == DIR_INGRESS && !st->tunnel_ipv4)
		st->ct_bits &= ~CT_B_OVER;
	if (dir == DIR_EGRESS && entry && st->ct_state == CT_STATE_ESTABLISHED)
		ct_update_nat(entry, st);
	if (dir == DIR_INGRESS || st->ct_state == CT_STATE_REPLY)
		ct_recall_nat(entry, st);
	return 0;
}

/* May this pod and the other end talk? 0 or DROP_*. */
static __always_inline int F(lxc_verdict)(struct __sk_buff *ctx, struct pkt_state *st,
					  const struct endpoint_config *pod, const struct F(pkt) *pkt,
					  int dir)
{
	__u8 match_type = POLICY_MATCH_ALL;
	int verdict = 0;
	__u32 peer = 0;

	if (F(lxc_enforces)(pod, dir) || st->observe)
		peer = F(lxc_peer)(st, pkt, dir);
	if (F(lxc_enforces)(pod, dir))
		verdict = policy_check(st, peer, dir, pkt->l4.protocol, pkt->l4.dport, &match_type);
	if (verdict < 0 || st->ct_state == CT_STATE_NEW)
		policy_notify(ctx, st, peer, verdict, pkt->l4.protocol, pkt->l4.dport, match_type);
	return verdict;
}

/* Asks the rules about a packet of the opening side, and remembers a new connection. 0 or DROP_*. */
static __always_inline int F(lxc_policy_opening)(struct __sk_buff *ctx, struct pkt_state *st,
						 const struct endpoint_config *pod, int dir)
{
	struct F(pkt) *pkt;
	int ret = F(parse_once)(ctx, st, &pkt);

	if (unlikely(ret < 0))
		return DROP(st, ret);
	ret = F(lxc_verdict)(ctx, st, pod, pkt, dir);
	if (st->ct_state == CT_STATE_ESTABLISHED && !(st->ct_bits & CT_B_DENIED) != !(ret < 0))
		F(ct_set_denied)(pkt, dir, ret < 0);
	if (unlikely(ret < 0))
		return DROP(st, ret);
	if (st->ct_state != CT_STATE_NEW)
		return 0;
	ret = F(ct_create)(ctx, pkt, st, dir);
	return ret < 0 ? DROP(st, ret) : 0;
}

static __always_inline int F(lxc_opposite)(int dir)
{
	return dir == DIR_EGRESS ? DIR_INGRESS : DIR_EGRESS;
}

/* Replies were allowed with the connection; without enforcement only new ones leave a trace. */
static __always_inline _Bool F(lxc_asks_opening)(const struct pkt_state *st, const struct endpoint_config *pod, int dir)
{
	return st->ct_state == CT_STATE_NEW || (F(lxc_enforces)(pod, dir) && st->ct_state == CT_STATE_ESTABLISHED);
}

/* The pod's rules have turned the connection down that this answers: do they still? */
static __always_inline _Bool F(lxc_asks_reply)(const struct pkt_state *st, const struct endpoint_config *pod, int dir)
{
	return F(lxc_enforces)(pod, F(lxc_opposite)(dir)) && st->ct_bits & CT_B_DENIED &&
	       st->ct_state != CT_STATE_ESTABLISHED;
}

/* 0 or DROP_*. */
static __always_inline int F(lxc_policy)(struct __sk_buff *ctx, struct pkt_state *st, int dir)
{
	const struct endpoint_config *pod = endpoint_self(st);
	struct F(pkt) *pkt;
	int ret;

	if (unlikely(!pod))
		return DROP(st, DROP_EP_NOT_READY);
	if (F(lxc_asks_opening)(st, pod, dir)) {
		ret = F(lxc_policy_opening)(ctx, st, pod, dir);
		if (unlikely(ret < 0))
			return ret;
	}
	if (F(lxc_asks_reply)(st, pod, dir)) {
		ret = F(parse_once)(ctx, st, &pkt);
		if (!ret)
			ret = policy_check_reply(F(lxc_peer)(st, pkt, dir), F(lxc_opposite)(dir), st, &pkt->l4);
		if (unlikely(ret < 0))
			return DROP(st, ret);
	}
	return 0;
}

/* The same for both ends of a connection that lxc_opens_plainly() is true of (lxc_short.h). 0 or DROP_*. */
static __always_inline int F(lxc_policy_neither)(struct __sk_buff *ctx, struct pkt_state *st, const struct F(pkt) *pkt)
{
	int ret = F(ct_create_known)(ctx, pkt, st);

	return ret < 0 ? DROP(st, ret) : 0;
}

#undef DROP_FILE
