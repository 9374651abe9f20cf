// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What a router does to an IPv4 packet. */
#ifndef __LIB_L3_V4_H
#define __LIB_L3_V4_H

#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <waggle/internal/parse_v4.h>
#include "csum.h"
#include "ecn.h"
#include "eth.h"

#define IPV4_BROADCAST bpf_htonl(0xffffffff)
#define IPV4_IS_MULTICAST(addr) (((addr) & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000))

/* TTL is the high byte of its checksum word (network order). */
#define TTL_STEP bpf_htons(0x0100)

/* One address to many: nothing here delivers such packets. */
static __always_inline _Bool is_to_many_v4(__be32 addr)
{
	return addr == IPV4_BROADCAST || IPV4_IS_MULTICAST(addr);
}

static __always_inline void ttl_decrement(struct iphdr *ip)
{
	__u32 check = (__u32)ip->check + TTL_STEP;

	ip->ttl--;
	ip->check = (__u16)(check + (check >= 0xffff));
}

/* Routes the packet to its next hop. 0, DROP_TTL_EXCEEDED when this was the last it might take, or DROP_INVALID. */
static __always_inline int l3_forward_v4(struct __sk_buff *ctx, struct mac dst, struct mac src)
{
	struct iphdr *ip = ip_header_v4(ctx);

	if (unlikely(!ip))
		return DROP_INVALID;
	if (unlikely(ip->ttl <= 1))
		return DROP_TTL_EXCEEDED;
	ttl_decrement(ip);
	eth_rewrite((void *)ip - IPV4_OFF, dst, src);
	return 0;
}

/* What the packet says of congestion (ECN_*). */
static __always_inline __u8 l3_ecn_v4(struct __sk_buff *ctx)
{
	const struct iphdr *ip = ip_header_v4(ctx);

	return ip ? ip->tos & ECN_MASK : 0;
}

/* May a router on the way cut the packet into pieces? */
static __always_inline _Bool may_fragment_v4(struct __sk_buff *ctx)
{
	const struct iphdr *ip = ip_header_v4(ctx);

	return ip && !(ip->frag_off & bpf_htons(IPV4_DONT_FRAGMENT));
}

#endif
