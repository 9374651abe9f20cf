// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What is IPv6's own in tcp_reset.h. */
#ifndef __LIB_TCP_RESET_V6_H
#define __LIB_TCP_RESET_V6_H

#include "csum.h"
#include "icmp_v6.h"
#include "l3_v6.h"
#include "tcp_header.h"

struct tcp_reset_packet_v6 {
	struct ipv6_header ip;
	struct tcp_header tcp;
};

/* The IP header of a reset. 0. */
static __always_inline int tcp_reset_ip_v6(struct tcp_reset_packet_v6 *packet, addr_v6 from, addr_v6 to)
{
	packet->ip.version_class_flow = IPV6_VERSION;
	packet->ip.payload_len = bpf_htons(sizeof(packet->tcp));
	packet->ip.next_header = IPPROTO_TCP;
	packet->ip.hop_limit = TCP_RESET_TTL;
	packet->ip.saddr = from;
	packet->ip.daddr = to;
	return 0;
}

/* The sum over what the checksum covers besides the segment; negative: none. */
static __always_inline __s64 tcp_pseudo_sum_v6(addr_v6 from, addr_v6 to)
{
	struct pseudo_header_v6 pseudo = {
		.saddr = from,
		.daddr = to,
		.length = bpf_htonl(sizeof(struct tcp_header)),
		.next_header = bpf_htonl(IPPROTO_TCP),
	};

	return bpf_csum_diff(0, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
}

#endif
