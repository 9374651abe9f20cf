// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* "Time exceeded" (RFC 792): turning a packet whose TTL ran out into the answer to its sender. */
#ifndef __LIB_ICMP_V4_H
#define __LIB_ICMP_V4_H

#include <waggle/internal/parse_v4.h>
#include "drop.h"
#include "l3_v4.h"

#define ICMP_TTL_EXCEEDED_IN_TRANSIT 0
#define ICMP_DEFAULT_TTL 64

/*
 * How much of the transport header is quoted. RFC 792 asks for eight bytes; the kernel refuses to cut a
 * packet before a checksum that hardware is still to fill in, and TCP's ends at byte 18.
 */
#define ICMP_QUOTE_L4_MAX 32
#define ICMP_QUOTE_MAX (60 + ICMP_QUOTE_L4_MAX)

struct icmp_error {
	__u8 type;
	__u8 code;
	__u16 check;
	__u32 unused;
};

/* The new headers, then a copy of what is quoted for the checksum. */
struct icmp_reply_v4 {
	struct iphdr ip;
	struct icmp_error icmp;
	__u8 quote[ICMP_QUOTE_MAX];
};

#define ICMP_REPLY_GROWTH (sizeof(struct iphdr) + sizeof(struct icmp_error))

/* May this packet be answered with an error? RFC 1122, 3.2.2. */
static __always_inline _Bool icmp_may_answer_v4(const struct pkt_v4 *pkt)
{
	return !pkt->icmp_error && pkt->fragment != FRAGMENT_LATER && !ipv4_is_to_many(pkt->daddr);
}

/*
 * Replaces the packet by a "time exceeded" from `router` to its sender, Ethernet addresses swapped. 0, or
 * DROP_TTL_EXCEEDED when no answer may be given, or another DROP_*.
 */
static __always_inline int icmp_ttl_exceeded_v4(struct __sk_buff *ctx, __be32 router)
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
		return DROP_TTL_EXCEEDED;

	quote_len = pkt.l4_off - IPV4_OFF + ICMP_QUOTE_L4_MAX;
	if (quote_len > ctx->len - IPV4_OFF)
		quote_len = ctx->len - IPV4_OFF;
	/*
	 * Never taken: tells the verifier of 6.1 what it cannot derive. The barrier keeps the compiler, which
	 * can, from removing it.
	 */
	barrier_var(quote_len);
	if (quote_len < IPV4_MIN_HLEN || quote_len > ICMP_QUOTE_MAX)
		return DROP_INVALID;
	if (bpf_skb_load_bytes(ctx, IPV4_OFF, reply.quote, quote_len))
		return DROP_INVALID;

	reply.icmp.type = ICMP_TIME_EXCEEDED;
	reply.icmp.code = ICMP_TTL_EXCEEDED_IN_TRANSIT;
	sum = bpf_csum_diff(0, 0, (__be32 *)&reply.icmp, sizeof(reply.icmp) + sizeof(reply.quote), 0);
	if (sum < 0)
		return DROP_CSUM_L4;
	reply.icmp.check = csum_fold((__u32)sum);

	*(__u8 *)&reply.ip = 0x45;
	reply.ip.tot_len = bpf_htons(ICMP_REPLY_GROWTH + quote_len);
	reply.ip.ttl = ICMP_DEFAULT_TTL;
	reply.ip.protocol = IPPROTO_ICMP;
	reply.ip.saddr = router;
	reply.ip.daddr = pkt.saddr;
	sum = bpf_csum_diff(0, 0, (__be32 *)&reply.ip, sizeof(reply.ip), 0);
	if (sum < 0)
		return DROP_CSUM_L4;
	reply.ip.check = csum_fold((__u32)sum);

	if (bpf_skb_change_tail(ctx, IPV4_OFF + quote_len, 0) ||
	    bpf_skb_adjust_room(ctx, ICMP_REPLY_GROWTH, BPF_ADJ_ROOM_MAC, 0) ||
	    bpf_skb_store_bytes(ctx, IPV4_OFF, &reply, ICMP_REPLY_GROWTH, BPF_F_RECOMPUTE_CSUM))
		return DROP_WRITE_ERROR;

	eth = frame_head(ctx, IPV4_OFF + ICMP_REPLY_GROWTH);
	if (!eth)
		return DROP_INVALID;
	sender = mac_load(eth->h_source);
	receiver = mac_load(eth->h_dest);
	eth_rewrite(eth, sender, receiver);
	return 0;
}

#endif
