// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * ICMP errors (RFC 792, RFC 4443): turning a packet that is refused into the answer to its sender. Once for each
 * family (family_v4.h). Which error it is, a stage says with REFUSE() (icmp_error.h).
 */
#include "icmp_v4.h"
#include "icmp_v6.h"

/*
 * Replaces the packet by the error that the state describes, from `router` to the packet's sender, Ethernet
 * addresses swapped. 0, or DROP_INVALID when no answer may be given, or another DROP_*.
 */
static __always_inline int F(icmp_error)(struct __sk_buff *ctx, const struct pkt_state *st, F(addr) router)
{
	struct F(icmp_reply) reply = {};
	struct mac sender, receiver;
	struct ethhdr *eth;
	struct F(pkt) pkt;
	__u32 quote_len;
	int ret;

	ret = F(parse)(ctx, &pkt);
	if (ret)
		return ret;
	if (!F(icmp_may_answer)(&pkt))
		return DROP_INVALID;

	quote_len = pkt.l4.off - ETH_HLEN + ICMP_QUOTE_L4_MAX;
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
	ret = F(icmp_head)(&reply, router, pkt.saddr, quote_len);
	if (ret)
		return ret;

	if (bpf_skb_change_tail(ctx, ETH_HLEN + quote_len, 0) ||
	    bpf_skb_adjust_room(ctx, sizeof(reply.ip) + sizeof(reply.icmp), BPF_ADJ_ROOM_MAC, 0) ||
	    bpf_skb_store_bytes(ctx, ETH_HLEN, &reply, sizeof(reply.ip) + sizeof(reply.icmp),
				BPF_F_RECOMPUTE_CSUM))
		return DROP_WRITE_ERROR;

	eth = frame_head(ctx, ETH_HLEN + sizeof(reply.ip) + sizeof(reply.icmp));
	if (!eth)
		return DROP_INVALID;
	sender = mac_load(eth->h_source);
	receiver = mac_load(eth->h_dest);
	eth_rewrite(eth, sender, receiver);
	return 0;
}
