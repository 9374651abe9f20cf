// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What is ICMPv6's own in icmp.h. */
#ifndef __LIB_ICMP_V6_H
#define __LIB_ICMP_V6_H

#include "csum.h"
#include "icmp_error.h"
#include "l3_v6.h"

#define ICMPV6_CODE_HOP_LIMIT 0
#define ICMPV6_CODE_ADDR_UNREACHABLE 3
#define ICMPV6_CODE_PORT_UNREACHABLE 4
#define IPV6_VERSION bpf_htonl(6U << 28)

/* Extension headers that an error quotes besides the IP header, in bytes. Packets with more get no answer. */
#define ICMPV6_QUOTE_EXT_MAX 96

struct icmp_reply_v6 {
	struct ipv6_header ip;
	struct icmp_error_header icmp;
	__u8 quote[IPV6_HLEN + ICMPV6_QUOTE_EXT_MAX + ICMP_QUOTE_L4_MAX];
};

/* What checksums cover beside the packet's own bytes. RFC 8200, 8.1. */
struct pseudo_header_v6 {
	addr_v6 saddr;
	addr_v6 daddr;
	__be32 length;
	__be32 next_header;
};

/* May this packet be answered with an error? RFC 4443, 2.4 (e): not without a sender to answer. */
static __always_inline _Bool icmp_may_answer_v6(const struct pkt_v6 *pkt)
{
	return !pkt->l4.icmp_error && pkt->l4.fragment != FRAGMENT_LATER && !is_to_many_v6(pkt->daddr) &&
	       !is_to_many_v6(pkt->saddr) && (pkt->saddr.word[0] || pkt->saddr.word[1]);
}

static __always_inline void icmp_describe_v6(struct icmp_error_header *icmp, const struct pkt_state *st)
{
	switch (st->icmp_error) {
	case ICMP_ERROR_TTL_EXCEEDED:
		icmp->type = ICMPV6_TIME_EXCEEDED;
		icmp->code = ICMPV6_CODE_HOP_LIMIT;
		break;
	case ICMP_ERROR_TOO_BIG:
		icmp->type = ICMPV6_PACKET_TOO_BIG;
		icmp->word = bpf_htonl(st->icmp_mtu);
		break;
	case ICMP_ERROR_HOST_UNREACHABLE:
		icmp->type = ICMPV6_DEST_UNREACH;
		icmp->code = ICMPV6_CODE_ADDR_UNREACHABLE;
		break;
	default:
		icmp->type = ICMPV6_DEST_UNREACH;
		icmp->code = ICMPV6_CODE_PORT_UNREACHABLE;
	}
}

/* The checksum of an ICMPv6 message of `len` bytes at `message`, of which `size` (zeros at the end) are summed up. */
static __always_inline __s64 icmp_checksum_v6(addr_v6 from, addr_v6 to, __u32 len, void *message, __u32 size)
{
	struct pseudo_header_v6 pseudo = {
		.saddr = from,
		.daddr = to,
		.length = bpf_htonl(len),
		.next_header = bpf_htonl(IPPROTO_ICMPV6),
	};
	__s64 sum = bpf_csum_diff(0, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);

	return sum < 0 ? sum : bpf_csum_diff(0, 0, message, size, (__wsum)sum);
}

/* Completes the headers of an error whose kind and quote are in place. 0 or DROP_CSUM_L4. */
static __always_inline int icmp_head_v6(struct icmp_reply_v6 *reply, addr_v6 from, addr_v6 to, __u32 quote_len)
{
	__u32 len = sizeof(reply->icmp) + quote_len;
	__s64 sum = icmp_checksum_v6(from, to, len, &reply->icmp, sizeof(reply->icmp) + sizeof(reply->quote));

	if (sum < 0)
		return DROP_CSUM_L4;
	reply->icmp.check = csum_fold((__u32)sum);
	reply->ip.version_class_flow = IPV6_VERSION;
	reply->ip.payload_len = bpf_htons(len);
	reply->ip.next_header = IPPROTO_ICMPV6;
	reply->ip.hop_limit = ICMP_DEFAULT_TTL;
	reply->ip.saddr = from;
	reply->ip.daddr = to;
	return 0;
}

#endif
