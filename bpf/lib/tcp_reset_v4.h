// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What is IPv4's own in tcp_reset.h. */
#ifndef __LIB_TCP_RESET_V4_H
#define __LIB_TCP_RESET_V4_H

#include "csum.h"
#include "l3_v4.h"
#include "tcp_header.h"

struct tcp_reset_packet_v4 {
	struct iphdr ip;
	struct tcp_header tcp;
};

struct tcp_pseudo_header_v4 {
	addr_v4 saddr;
	addr_v4 daddr;
	__u8 zero;
	__u8 protocol;
	__be16 length;
};

/* The IP header of a reset. 0 or DROP_CSUM_L4. */
static __always_inline int tcp_reset_ip_v4(struct tcp_reset_packet_v4 *packet, addr_v4 from, addr_v4 to)
{
	__s64 sum;

	*(__u8 *)&packet->ip = 0x45; /* version, header length */
	packet->ip.tot_len = bpf_htons(sizeof(*packet));
	packet->ip.ttl = TCP_RESET_TTL;
	packet->ip.protocol = IPPROTO_TCP;
	packet->ip.saddr = from;
	packet->ip.daddr = to;
	sum = bpf_csum_diff(0, 0, (__be32 *)&packet->ip, sizeof(packet->ip), 0);
	if (sum < 0)
		return DROP_CSUM_L4;
	packet->ip.check = csum_fold((__u32)sum);
	return 0;
}

/* The sum over what the checksum covers besides the segment; negative: none. */
static __always_inline __s64 tcp_pseudo_sum_v4(addr_v4 from, addr_v4 to)
{
	struct tcp_pseudo_header_v4 pseudo = {
		.saddr = from,
		.daddr = to,
		.protocol = IPPROTO_TCP,
		.length = bpf_htons(sizeof(struct tcp_header)),
	};

	return bpf_csum_diff(0, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
}

#endif
