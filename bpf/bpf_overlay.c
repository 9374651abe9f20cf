// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The programs of cilium_vxlan, the tunnel to the other nodes. The kernel encapsulates and decapsulates; the
 * tunnel key says to or from which node, and carries the identity of the packet's sender.
 *
 *	tunnel -> cil_from_overlay -> the pods' cil_lxc_policy, or cilium_host
 *	a pod or cilium_host -> cilium_vxlan: cil_to_overlay -> tunnel
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>

#include "config_overlay.h"
#include "idle.h"

#include "family_v4.h"
#include "icmp.h"
#include "whereabouts.h"
#include "tunnel_source.h"
#include "overlay.h"
#include "family_end.h"

#include "family_v6.h"
#include "icmp.h"
#include "whereabouts.h"
#include "tunnel_source.h"
#include "overlay.h"
#include "family_end.h"

#define DROP_FILE FILE_OVERLAY

/*
 * Reads the tunnel key of a packet from another node: who sends it, and which node that is on. 0 or DROP_*.
 */
static __always_inline int overlay_identify(struct __sk_buff *ctx, struct pkt_state *st)
{
	struct bpf_tunnel_key key = {};

	if (bpf_skb_get_tunnel_key(ctx, &key, sizeof(key), 0))
		return DROP_NO_TUNNEL_KEY;
	if (!key.tunnel_id)
		return DROP_INVALID_IDENTITY;
	st->src_identity = tunnel_identity(key.tunnel_id);
	st->tunnel_ipv4 = bpf_htonl(key.remote_ipv4); /* the helper gives host order */
	return 0;
}

/* Where nobody is at the hook point, the stage behind it follows within this program. */
static __always_inline int from_overlay(struct __sk_buff *ctx, struct pkt_state *st)
{
	__u64 idle = idle_hooks(IDLE_OVERLAY);
	int ret = overlay_identify(ctx, st);

	if (ret < 0)
		return DROP(st, ret);
	trace(ctx, st, TRACE_FROM_OVERLAY, 0);
	if (cfg_enable_ipv4 && ctx->protocol == bpf_htons(ETH_P_IP))
		return idle_at(idle, WAGGLE_SLOT_from_overlay_v4) ? overlay_from_v4(ctx, st)
								  : JUMP(ctx, st, WAGGLE_SLOT_from_overlay_v4);
	if (cfg_enable_ipv6 && ctx->protocol == bpf_htons(ETH_P_IPV6))
		return idle_at(idle, WAGGLE_SLOT_from_overlay_v6) ? overlay_from_v6(ctx, st)
								  : JUMP(ctx, st, WAGGLE_SLOT_from_overlay_v6);
	return DROP(st, DROP_UNKNOWN_L3);
}

/* Ingress of cilium_vxlan: what another node sends. */
SEC("tc")
int cil_from_overlay(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	if (!st)
		return TC_ACT_SHOT;
	state_reset(ctx, st, DIR_INGRESS);
	ctx->cb[HOOK_STATS_CB] = cfg_stats_base;
	return finish(ctx, st, from_overlay(ctx, st));
}

static __always_inline int to_overlay(struct __sk_buff *ctx, struct pkt_state *st)
{
	struct bpf_tunnel_key key = {};

	/* What the stack itself sends on the device, to announce itself, has no key; the device discards it. */
	if (bpf_skb_get_tunnel_key(ctx, &key, sizeof(key), 0))
		return TC_ACT_OK;
	st->src_identity = key.tunnel_id;
	if (cfg_enable_ipv4 && ctx->protocol == bpf_htons(ETH_P_IP))
		return JUMP(ctx, st, WAGGLE_SLOT_to_overlay_v4);
	if (cfg_enable_ipv6 && ctx->protocol == bpf_htons(ETH_P_IPV6))
		return JUMP(ctx, st, WAGGLE_SLOT_to_overlay_v6);
	return DROP(st, DROP_UNKNOWN_L3);
}

/* Is there nothing between the packet and the tunnel? What has no tunnel key the device discards by itself. */
static __always_inline _Bool to_overlay_is_clear(const struct __sk_buff *ctx)
{
	if (cfg_enable_ipv4 && ctx->protocol == bpf_htons(ETH_P_IP))
		return nobody_at(IDLE_OVERLAY, WAGGLE_SLOT_to_overlay_v4);
	return cfg_enable_ipv6 && ctx->protocol == bpf_htons(ETH_P_IPV6) &&
	       nobody_at(IDLE_OVERLAY, WAGGLE_SLOT_to_overlay_v6);
}

/* Egress of cilium_vxlan: what this node's programs have redirected there. */
SEC("tc")
int cil_to_overlay(struct __sk_buff *ctx)
{
	struct pkt_state *st;

	if (to_overlay_is_clear(ctx)) {
		mark_set(ctx, MARK_OVERLAY);
		return TC_ACT_OK;
	}
	st = state_get();
	if (!st)
		return TC_ACT_SHOT;
	state_reset(ctx, st, DIR_EGRESS);
	ctx->cb[HOOK_STATS_CB] = cfg_stats_base;
	return finish(ctx, st, to_overlay(ctx, st));
}

char bpf_license[] SEC("license") = "Dual BSD/GPL";
