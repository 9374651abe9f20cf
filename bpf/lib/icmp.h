// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * ICMP errors (RFC 792, RFC 4443) and resets: turning a packet that is refused into the answer to its sender. Once for
 * each family (family_v4.h). Which error it is, a stage says with REFUSE() (icmp_error.h).
 */
#include "icmp_v4.h"
#include "icmp_v6.h"
#include "tcp_reset.h"

/* Sends the frame back where it came from. 0 or DROP_INVALID. */
static __always_inline int F(icmp_turn_round)(struct __sk_buff *ctx)
{
	struct ethhdr *eth = frame_head(ctx, ETH_HLEN);
	struct mac sender, receiver;

	if (!eth)
		return DROP_INVALID;
	sender = mac_load(eth->h_source);
	receiver = mac_load(eth->h_dest);
	eth_rewrite(eth, sender, receiver);
	return 0;
}

/* Replaces the packet by the error that the state describes, from `router` to its sender. 0 or DROP_*. */
static __always_inline int F(icmp_answer)(struct __sk_buff *ctx, const struct pkt_state *st,
					  const struct F(pkt) *pkt, F(addr) router)
{
	struct F(icmp_reply) reply = {};
	__u32 quote_len;
	int ret;

	quote_len = pkt->l4.off - ETH_HLEN + ICMP_QUOTE_L4_MAX;
	if (quote_len > ctx->len - ETH_HLEN)
		quote_len = ctx->len - ETH_HLEN;
	/*
	 * Too long only behind many extension headers. The verifier of 6.1 cannot derive the rest; the barrier keeps the
	 * compiler, which can, from removing it.
	 */
	barrier_var(quote_len);
	if (quote_len < sizeof(reply.ip) || quote_len > sizeof(reply.quote))
		return DROP_INVALID;
	if (bpf_skb_load_bytes(ctx, ETH_HLEN, reply.quote, quote_len))
		return DROP_INVALID;
	F(icmp_describe)(&reply.icmp, st);
	ret = F(icmp_head)(&reply, router, pkt->saddr, quote_len);
	if (ret)
		return ret;
	return bpf_skb_change_tail(ctx, ETH_HLEN + quote_len, 0) ||
			       bpf_skb_adjust_room(ctx, sizeof(reply.ip) + sizeof(reply.icmp),
						   BPF_ADJ_ROOM_MAC, 0) ||
			       bpf_skb_store_bytes(ctx, ETH_HLEN, &reply,
						   sizeof(reply.ip) + sizeof(reply.icmp),
						   BPF_F_RECOMPUTE_CSUM)
		       ? DROP_WRITE_ERROR
		       : 0;
}

/*
 * Replaces the packet by the answer that the state describes to its sender, Ethernet addresses swapped: an error from
 * `router`, or, where nobody serves TCP, a reset. 0, or DROP_INVALID when no answer may be given, DROP_RATE_LIMITED
 * when there have been too many, or another DROP_*.
 */
static __always_inline int F(icmp_error)(struct __sk_buff *ctx, const struct pkt_state *st, F(addr) router)
{
	struct F(pkt) pkt;
	int ret = F(parse)(ctx, &pkt);

	if (ret)
		return ret;
	if (!F(icmp_may_answer)(&pkt))
		return DROP_INVALID;
	if (st->icmp_error == ICMP_ERROR_PORT_UNREACHABLE && F(tcp_may_reset)(&pkt))
		ret = F(tcp_reset)(ctx, &pkt);
	else if (!icmp_error_allowed(ctx, st))
		return DROP_RATE_LIMITED;
	else
		ret = F(icmp_answer)(ctx, st, &pkt, router);
	return ret ? ret : F(icmp_turn_round)(ctx);
}
