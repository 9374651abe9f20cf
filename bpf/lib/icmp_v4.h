// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* ICMP errors (RFC 792): turning a packet that is refused into the answer to its sender. */
#ifndef __LIB_ICMP_V4_H
#define __LIB_ICMP_V4_H

#include <waggle/internal/parse_v4.h>
#include "icmp_error.h"
#include "l3_v4.h"

#define ICMP_CODE_TTL_IN_TRANSIT 0
#define ICMP_CODE_PORT_UNREACHABLE 3
#define ICMP_CODE_FRAGMENTATION_NEEDED 4

/*
 * How much of the transport header is quoted. RFC 792 asks for eight bytes; the kernel refuses to cut a
 * packet before a checksum that hardware is still to fill in, and TCP's ends at byte 18.
 */
#define ICMP_QUOTE_L4_MAX 32
#define ICMP_QUOTE_MAX_V4 (60 + ICMP_QUOTE_L4_MAX)

/* The new headers, then a copy of what is quoted for the checksum. */
struct icmp_reply_v4 {
	struct iphdr ip;
	struct icmp_error_header icmp;
	__u8 quote[ICMP_QUOTE_MAX_V4];
};

#define ICMP_GROWTH_V4 (sizeof(struct iphdr) + sizeof(struct icmp_error_header))

/* May this packet be answered with an error? RFC 1122, 3.2.2. */
static __always_inline _Bool icmp_may_answer_v4(const struct pkt_v4 *pkt)
{
	return !pkt->l4.icmp_error && pkt->l4.fragment != FRAGMENT_LATER && !is_to_many_v4(pkt->daddr);
}

static __always_inline void icmp_describe_v4(struct icmp_error_header *icmp, const struct pkt_state *st)
{
	switch (st->icmp_error) {
	case ICMP_ERROR_TTL_EXCEEDED:
		icmp->type = ICMP_TIME_EXCEEDED;
		icmp->code = ICMP_CODE_TTL_IN_TRANSIT;
		break;
	case ICMP_ERROR_TOO_BIG: /* RFC 1191: the MTU is the low half of the word */
		icmp->type = ICMP_DEST_UNREACH;
		icmp->code = ICMP_CODE_FRAGMENTATION_NEEDED;
		icmp->word = bpf_htonl(st->icmp_mtu);
		break;
	default:
		icmp->type = ICMP_DEST_UNREACH;
		icmp->code = ICMP_CODE_PORT_UNREACHABLE;
	}
}

/*
 * Replaces the packet by the error that the state describes, from `router` to the packet's sender, Ethernet
 * addresses swapped. 0, or DROP_INVALID when no answer may be given, or another DROP_*.
 */
static __always_inline int icmp_error_v4(struct __sk_buff *ctx, const struct pkt_state *st, addr_v4 router)
{
	struct icmp_reply_v4 reply = {};
	struct mac sender, receiver;
	struct ethhdr *eth;
	struct pkt_v4 pkt;
	__u32 quote_len;
	__s64 sum;
	int ret;

	ret = parse_v4(ctx, &pkt);
	if (ret)
		return ret;
	if (!icmp_may_answer_v4(&pkt))
		return DROP_INVALID;

	quote_len = pkt.l4.off - IPV4_OFF + ICMP_QUOTE_L4_MAX;
	if (quote_len > ctx->len - IPV4_OFF)
		quote_len = ctx->len - IPV4_OFF;
	/*
	 * Never taken: tells the verifier of 6.1 what it cannot derive. The barrier keeps the compiler, which
	 * can, from removing it.
	 */
	barrier_var(quote_len);
	if (quote_len < IPV4_MIN_HLEN || quote_len > ICMP_QUOTE_MAX_V4)
		return DROP_INVALID;
	if (bpf_skb_load_bytes(ctx, IPV4_OFF, reply.quote, quote_len))
		return DROP_INVALID;

	icmp_describe_v4(&reply.icmp, st);
	sum = bpf_csum_diff(0, 0, (__be32 *)&reply.icmp, sizeof(reply.icmp) + sizeof(reply.quote), 0);
	if (sum < 0)
		return DROP_CSUM_L4;
	reply.icmp.check = csum_fold((__u32)sum);

	*(__u8 *)&reply.ip = 0x45;
	reply.ip.tot_len = bpf_htons(ICMP_GROWTH_V4 + quote_len);
	reply.ip.ttl = ICMP_DEFAULT_TTL;
	reply.ip.protocol = IPPROTO_ICMP;
	reply.ip.saddr = router;
	reply.ip.daddr = pkt.saddr;
	sum = bpf_csum_diff(0, 0, (__be32 *)&reply.ip, sizeof(reply.ip), 0);
	if (sum < 0)
		return DROP_CSUM_L4;
	reply.ip.check = csum_fold((__u32)sum);

	if (bpf_skb_change_tail(ctx, IPV4_OFF + quote_len, 0) ||
	    bpf_skb_adjust_room(ctx, ICMP_GROWTH_V4, BPF_ADJ_ROOM_MAC, 0) ||
	    bpf_skb_store_bytes(ctx, IPV4_OFF, &reply, ICMP_GROWTH_V4, BPF_F_RECOMPUTE_CSUM))
		return DROP_WRITE_ERROR;

	eth = frame_head(ctx, IPV4_OFF + ICMP_GROWTH_V4);
	if (!eth)
		return DROP_INVALID;
	sender = mac_load(eth->h_source);
	receiver = mac_load(eth->h_dest);
	eth_rewrite(eth, sender, receiver);
	return 0;
}

#endif
