// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The short way of a packet to another pod of the node: where nobody is at the hook points, and the stages have nothing
 * to do but to look the connection up, they follow one another within the entry program. Whatever else there is to do
 * is left to the stages' own programs, from the first one that it concerns; behind conntrack and behind policy they lead
 * back here. Once for each family (family_v4.h), after lxc_ingress.h.
 */
#include "pod_address.h"

#define DROP_FILE FILE_LXC_SHORT

#if IPV == 4
/* A pod's hook points of a family, on its side of a journey between two pods. */
#define HOOK_BIT(name) (1ULL << HOOK_SLOT(name))
#define HOOKS_AFTER_CT (HOOK_BIT(from_container_pre_policy) | HOOK_BIT(from_container_pre_forward))
#define HOOKS_OUT (HOOK_BIT(from_container_pre_service) | HOOK_BIT(from_container_pre_ct) | HOOKS_AFTER_CT)
#define HOOKS_IN \
	(HOOK_BIT(to_container_pre_ct) | HOOK_BIT(to_container_pre_policy) | HOOK_BIT(to_container_pre_deliver))

/* Off the short way, at a hook point. */
#define LEAVE(ctx, st, slot)                     \
	({                                       \
		pod_count_self(ctx, st);         \
		JUMP(ctx, st, HOOK_SLOT(slot));  \
	})
#endif

/*
 * Is this the first packet of a connection between two pods without rules that meets nobody? It is let through and
 * remembered for both at once: what one has remembered is not searched for by the other.
 */
static __always_inline _Bool F(lxc_opens_plainly)(const struct pkt_state *st, const struct F(pkt) *pkt,
						  const struct endpoint_config *peer, __u64 idle)
{
	return st->ct_bits & CT_B_GUESSED && !(st->ct_bits & CT_B_JOIN) && !(pkt->l4.tcp_flags & TCP_RST) &&
	       !F(lxc_has_rules)(peer) && !(st->observe & OBSERVE_VERDICTS) && (idle & HOOKS_IN) == HOOKS_IN;
}

/*
 * To another pod, or back to this one, without a stage of its own. Comes after policy; `opens`: instead of it, with a
 * connection that lxc_opens_plainly() is true of.
 */
static __always_inline int F(lxc_to_peer)(struct __sk_buff *ctx, struct pkt_state *st, const struct F(pkt) *pkt,
					  const struct endpoint_config *peer, _Bool opens, __u64 idle)
{
	int ret, next = NEXT_NONE;

	if (unlikely(F(l3_forward)(ctx, mac_of_u64(peer->mac), mac_of_u64(peer->node_mac))))
		return opens ? LEAVE(ctx, st, from_container_pre_policy)
			     : LEAVE(ctx, st, from_container_pre_forward);
	if (unlikely(opens)) {
		ret = F(lxc_policy_neither)(ctx, st, pkt);
		if (ret < 0)
			return ret;
	}
	st->endpoint_id = peer->id;
	lxc_enter(st, peer);
	if (unlikely(opens))
		st->ct_state = CT_STATE_NEW;
	else if (idle_at(idle, HOOK_SLOT(to_container_pre_ct)) &&
		 ct_take_over(st, peer->created_s, F(lxc_has_rules)(peer)))
		next = F(lxc_next)(st, peer, idle);
	else
		next = NEXT_CT;
	if (likely(next == NEXT_NONE)) {
		count_forwarded(ctx, FORWARDED_BETWEEN_PODS);
		return F(lxc_hand_over)(ctx, st, peer);
	}
	count_forwarded(ctx, DIR_EGRESS);
	if (next == NEXT_CT)
		return LEAVE(ctx, st, to_container_pre_ct);
	if (next == NEXT_POLICY)
		return LEAVE(ctx, st, to_container_pre_policy);
	return LEAVE(ctx, st, to_container_pre_deliver);
}

/* After conntrack, where nobody is at the hook points of HOOKS_OUT that are left. */
static __always_inline int F(lxc_after_ct)(struct __sk_buff *ctx, struct pkt_state *st, const struct F(pkt) *pkt,
					   const struct endpoint_config *pod, __u64 idle)
{
	const struct endpoint_config *peer = F(pod_known_at)(pkt->daddr);
	_Bool opens = st->ct_state == CT_STATE_NEW;

	if (unlikely(opens) ? !peer || !F(lxc_opens_plainly)(st, pkt, peer, idle)
			    : F(lxc_asks_opening)(st, pod, DIR_EGRESS) || F(lxc_asks_reply)(st, pod, DIR_EGRESS))
		return LEAVE(ctx, st, from_container_pre_policy);
	if (unlikely(!peer))
		return LEAVE(ctx, st, from_container_pre_forward);
	return F(lxc_to_peer)(ctx, st, pkt, peer, opens, idle);
}

/* After policy. */
static __always_inline int F(lxc_after_policy)(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct endpoint_config *peer = (void *)0;
	__u64 idle = idle_hooks(IDLE_LXC);

	if (idle_at(idle, HOOK_SLOT(from_container_pre_forward)) && ctx->cb[PARSED_CB] == IPV)
		peer = F(pod_known_at)(st->F(pkt).daddr);
	return peer ? F(lxc_to_peer)(ctx, st, &st->F(pkt), peer, 0, idle)
		    : LEAVE(ctx, st, from_container_pre_forward);
}

/* A packet that its pod may have sent. */
static __always_inline int F(lxc_depart)(struct __sk_buff *ctx, struct pkt_state *st, const struct endpoint_config *pod)
{
	__u64 idle = idle_hooks(IDLE_LXC);
	struct F(pkt) *pkt;
	int ret;

	if (unlikely((idle & HOOKS_OUT) != HOOKS_OUT || F(parse_once)(ctx, st, &pkt) || F(lb_concerns)(pkt)))
		return LEAVE(ctx, st, from_container_pre_service);
	ret = F(lxc_ct)(ctx, st, pod, DIR_EGRESS);
	return unlikely(ret < 0) ? ret : F(lxc_after_ct)(ctx, st, pkt, pod, idle);
}

#undef DROP_FILE
