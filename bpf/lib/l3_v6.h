// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What a router does to an IPv6 packet: the twin of l3_v4.h. */
#ifndef __LIB_L3_V6_H
#define __LIB_L3_V6_H

#include <waggle/internal/parse_v6.h>
#include "ecn.h"
#include "eth.h"

#define IPV6_HOP_LIMIT_OFF (IPV6_OFF + 7)

/* One address to many (ff00::/8): nothing here delivers such packets. */
static __always_inline _Bool is_to_many_v6(addr_v6 addr)
{
	return *(const __u8 *)&addr == 0xff;
}

/* Routes the packet to its next hop. 0, DROP_TTL_EXCEEDED when this was the last it might take, or another DROP_*. */
static __always_inline int l3_forward_v6(struct __sk_buff *ctx, struct mac dst, struct mac src)
{
	struct ipv6_header *ip = ip_header_v6(ctx);
	__u8 hop_limit;

	if (!ip)
		return DROP_INVALID;
	hop_limit = ip->hop_limit;
	if (hop_limit <= 1)
		return DROP_TTL_EXCEEDED;
	eth_rewrite((void *)ip - IPV6_OFF, dst, src);
	hop_limit--;
	/* No checksum in the header makes up for the change, so one of the whole packet has to follow it. */
	return bpf_skb_store_bytes(ctx, IPV6_HOP_LIMIT_OFF, &hop_limit, sizeof(hop_limit), BPF_F_RECOMPUTE_CSUM)
		       ? DROP_WRITE_ERROR
		       : 0;
}

/* What the packet says of congestion (ECN_*). */
static __always_inline __u8 l3_ecn_v6(struct __sk_buff *ctx)
{
	const struct ipv6_header *ip = ip_header_v6(ctx);

	return ip ? (bpf_ntohl(ip->version_class_flow) >> 20) & ECN_MASK : 0;
}

/* May a router on the way cut the packet into pieces? Only its sender may (RFC 8200, 4.5). */
static __always_inline _Bool may_fragment_v6(struct __sk_buff *ctx __attribute__((unused)))
{
	return 0;
}

#endif
