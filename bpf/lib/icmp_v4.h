// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What is ICMP's own in icmp.h. */
#ifndef __LIB_ICMP_V4_H
#define __LIB_ICMP_V4_H

#include "csum.h"
#include "icmp_error.h"
#include "l3_v4.h"

#define ICMP_CODE_TTL_IN_TRANSIT 0
#define ICMP_CODE_HOST_UNREACHABLE 1
#define ICMP_CODE_PORT_UNREACHABLE 3
#define ICMP_CODE_FRAGMENTATION_NEEDED 4

/* The new headers, then a copy of what is quoted for the checksum: at most the longest header and ICMP_QUOTE_L4_MAX. */
struct icmp_reply_v4 {
	struct iphdr ip;
	struct icmp_error_header icmp;
	__u8 quote[60 + ICMP_QUOTE_L4_MAX];
};

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
	case ICMP_ERROR_HOST_UNREACHABLE:
		icmp->type = ICMP_DEST_UNREACH;
		icmp->code = ICMP_CODE_HOST_UNREACHABLE;
		break;
	default:
		icmp->type = ICMP_DEST_UNREACH;
		icmp->code = ICMP_CODE_PORT_UNREACHABLE;
	}
}

/* Completes the headers of an error whose kind and quote are in place. 0 or DROP_CSUM_L4. */
static __always_inline int icmp_head_v4(struct icmp_reply_v4 *reply, addr_v4 from, addr_v4 to, __u32 quote_len)
{
	__s64 sum = bpf_csum_diff(0, 0, (__be32 *)&reply->icmp, sizeof(reply->icmp) + sizeof(reply->quote), 0);

	if (sum < 0)
		return DROP_CSUM_L4;
	reply->icmp.check = csum_fold((__u32)sum);
	*(__u8 *)&reply->ip = 0x45; /* version, header length */
	reply->ip.tot_len = bpf_htons(sizeof(reply->ip) + sizeof(reply->icmp) + quote_len);
	reply->ip.ttl = ICMP_DEFAULT_TTL;
	reply->ip.protocol = IPPROTO_ICMP;
	reply->ip.saddr = from;
	reply->ip.daddr = to;
	sum = bpf_csum_diff(0, 0, (__be32 *)&reply->ip, sizeof(reply->ip), 0);
	if (sum < 0)
		return DROP_CSUM_L4;
	reply->ip.check = csum_fold((__u32)sum);
	return 0;
}

#endif
