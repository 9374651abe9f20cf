// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The way of a packet into a pod, whichever way it came:
 *
 *	conntrack -> policy -> deliver
 *
 * Each stage ends by jumping to the hook point before the next one. Once for each family (family_v4.h), after
 * lb.h and lxc_policy.h.
 */
#include "forwarded.h"
#include "idle.h"
#include "mark.h"
#include "tailcall.h"

#define DROP_FILE FILE_LXC_INGRESS

#if IPV == 4
#define NEXT_NONE 0 /* the pod */
#define NEXT_CT 1
#define NEXT_POLICY 2
#define NEXT_DELIVER 3

/* Begins the second half of a journey, that of the pod that the packet is for. */
static __always_inline void lxc_enter(struct pkt_state *st, const struct endpoint_config *pod)
{
	st->direction = DIR_INGRESS;
	st->delivery = DELIVER_PEER;
	st->dst_identity = pod->identity;
	st->ct_state = CT_STATE_UNKNOWN;
}
#endif

/* Begins the way into the pod that the state names: 0, with the pod, or DROP_*. */
static __always_inline int F(lxc_arrive)(struct __sk_buff *ctx, struct pkt_state *st, const struct endpoint_config **pod)
{
	*pod = endpoint_self(st);
	st->direction = DIR_INGRESS;
	if (!*pod || !(*pod)->ifindex)
		return DROP(st, DROP_EP_NOT_READY);
	lxc_enter(st, *pod);
	pod_count_at(ctx, *pod);
	return 0;
}

/* A packet for the pod that the state names, from another pod's stages: routed, and the sender's identity known. */
static __always_inline int F(lxc_receive)(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct endpoint_config *pod;
	int ret = F(lxc_arrive)(ctx, st, &pod);

	return ret < 0 ? ret : JUMP(ctx, st, HOOK_SLOT(to_container_pre_ct));
}

/* A packet that the stack sends to the pod's device. Called by cil_to_container. */
static __always_inline int F(lxc_to_container)(struct __sk_buff *ctx, struct pkt_state *st)
{
	struct F(addresses) ip;

	st->src_identity = mark_take_identity(ctx);
	if (!st->src_identity) {
		if (F(addresses_load)(ctx, &ip))
			return DROP(st, DROP_INVALID);
		st->src_identity = F(whereabouts)(ip.saddr).identity;
	}
	st->delivery = DELIVER_STACK;
	trace(ctx, st, TRACE_FROM_STACK, st->endpoint_id);
	return JUMP(ctx, st, HOOK_SLOT(to_container_pre_ct));
}

/* Hands the packet, which is as the pod shall see it and counted, to the pod. */
static __always_inline int F(lxc_hand_over)(struct __sk_buff *ctx, struct pkt_state *st,
					    const struct endpoint_config *pod)
{
	F(ct_forget)(ctx, st);
	trace(ctx, st, TRACE_TO_LXC, st->endpoint_id);
	if (unlikely(st->delivery == DELIVER_STACK))
		return TC_ACT_OK; /* we are on the egress of the pod's device */
	return likely(pod) ? bpf_redirect_peer(pod->ifindex, 0) : DROP(st, DROP_EP_NOT_READY);
}

/* Is there nobody at the last hook point, and nothing to be translated? */
static __always_inline _Bool F(lxc_delivers_plainly)(const struct pkt_state *st, __u64 idle)
{
	return idle_at(idle, HOOK_SLOT(to_container_pre_deliver)) && !st->rev_nat_index && !st->nat_port;
}

/*
 * The first hook point or stage after conntrack that has to see the packet (NEXT_*): what rules are not asked about and
 * needs no translation passes those that nobody is at (`idle`).
 */
static __always_inline int F(lxc_next)(const struct pkt_state *st, const struct endpoint_config *pod, __u64 idle)
{
	if (!idle_at(idle, HOOK_SLOT(to_container_pre_policy)) || F(lxc_asks_opening)(st, pod, DIR_INGRESS) ||
	    F(lxc_asks_reply)(st, pod, DIR_INGRESS))
		return NEXT_POLICY;
	return F(lxc_delivers_plainly)(st, idle) ? NEXT_NONE : NEXT_DELIVER;
}

static __always_inline int F(lxc_ct_ingress)(struct __sk_buff *ctx, struct pkt_state *st,
					     const struct endpoint_config *pod, __u64 idle)
{
	int ret = F(lxc_ct)(ctx, st, pod, DIR_INGRESS);

	if (ret < 0)
		return ret;
	ret = pod ? F(lxc_next)(st, pod, idle) : NEXT_POLICY;
	if (ret == NEXT_POLICY)
		return JUMP(ctx, st, HOOK_SLOT(to_container_pre_policy));
	if (ret == NEXT_DELIVER)
		return JUMP(ctx, st, HOOK_SLOT(to_container_pre_deliver));
	count_forwarded(ctx, DIR_INGRESS);
	return F(lxc_hand_over)(ctx, st, pod);
}

/*
 * The same from another device's programs. Where nobody is at the hook point before it, conntrack follows within this
 * program.
 */
static __always_inline int F(lxc_receive_here)(struct __sk_buff *ctx, struct pkt_state *st)
{
	__u64 idle = idle_hooks(IDLE_LXC);
	const struct endpoint_config *pod;
	int ret = F(lxc_arrive)(ctx, st, &pod);

	if (ret < 0)
		return ret;
	return idle_at(idle, HOOK_SLOT(to_container_pre_ct)) ? F(lxc_ct_ingress)(ctx, st, pod, idle)
							     : JUMP(ctx, st, HOOK_SLOT(to_container_pre_ct));
}

/* Slot 4: what connection does the packet belong to, and was it to a service? */
SEC("tc")
int F(tail_ct_ingress)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(lxc_ct_ingress)(ctx, st, endpoint_self(st), idle_hooks(IDLE_LXC))) : TC_ACT_SHOT;
}

static __always_inline int F(lxc_policy_ingress)(struct __sk_buff *ctx, struct pkt_state *st)
{
	int ret = F(lxc_policy)(ctx, st, DIR_INGRESS);

	if (ret < 0)
		return ret;
	if (!F(lxc_delivers_plainly)(st, idle_hooks(IDLE_LXC)))
		return JUMP(ctx, st, HOOK_SLOT(to_container_pre_deliver));
	count_forwarded(ctx, DIR_INGRESS);
	return F(lxc_hand_over)(ctx, st, endpoint_self(st));
}

/* Slot 5: may the pod receive it? New connections are remembered here, once they are allowed. */
SEC("tc")
int F(tail_policy_ingress)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(lxc_policy_ingress)(ctx, st)) : TC_ACT_SHOT;
}

static __always_inline int F(lxc_deliver)(struct __sk_buff *ctx, struct pkt_state *st)
{
	int ret;

	if (st->rev_nat_index || st->nat_port) {
		ret = F(lb_reverse)(ctx, st);
		if (ret < 0)
			return DROP(st, ret);
	}
	count_forwarded(ctx, DIR_INGRESS);
	return F(lxc_hand_over)(ctx, st, endpoint_self(st));
}

/* Slot 6: undo service translation and hand the packet to the pod. */
SEC("tc")
int F(tail_deliver)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(lxc_deliver)(ctx, st)) : TC_ACT_SHOT;
}

#undef DROP_FILE
