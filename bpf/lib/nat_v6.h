// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Addresses of IPv6 packets, changed: the twin of nat_v4.h. */
#ifndef __LIB_NAT_V6_H
#define __LIB_NAT_V6_H

#include "csum.h"
#include "l4_patch.h"
#include "quoted_v6.h"

#define IPV6_SADDR_OFF 8
#define IPV6_DADDR_OFF 24

/* Does the transport checksum cover the addresses? */
static __always_inline _Bool nat_pseudo_header_v6(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_ICMPV6;
}

/* What a changed address makes of a one's complement sum; negative for an error. */
static __always_inline __s64 address_diff_v6(const addr_v6 *from, const addr_v6 *to)
{
	return bpf_csum_diff((__be32 *)from, sizeof(*from), (__be32 *)to, sizeof(*to), 0);
}

/*
 * Gives the packet another source or destination. 0 or DROP_WRITE_ERROR. A checksum of the whole packet follows here,
 * and loses the change again with the transport checksum's: nothing but the helpers' flags says so to the kernel.
 */
static __always_inline int nat_address_v6(struct __sk_buff *ctx, int side,
					  const addr_v6 *from __attribute__((unused)), const addr_v6 *to)
{
	__u32 off = IPV6_OFF + (side == NAT_SOURCE ? IPV6_SADDR_OFF : IPV6_DADDR_OFF);

	return bpf_skb_store_bytes(ctx, off, to, sizeof(*to), BPF_F_RECOMPUTE_CSUM) ? DROP_WRITE_ERROR : 0;
}

/* Brings the checksum at `check_off` up to date for a changed address. `flags` are of bpf_l4_csum_replace(). */
static __always_inline int nat_checksum_v6(struct __sk_buff *ctx, __u32 check_off, const addr_v6 *from,
					   const addr_v6 *to, __u64 flags)
{
	__s64 diff = address_diff_v6(from, to);

	if (diff < 0)
		return DROP_CSUM_L4;
	return bpf_l4_csum_replace(ctx, check_off, 0, diff, flags) ? DROP_CSUM_L4 : 0;
}

/* The checksum `check` after an address that it covers has changed. */
static __always_inline __u16 csum_replace_address_v6(__u16 check, const addr_v6 *from, const addr_v6 *to)
{
	for (int i = 0; i < 2; i++) {
		check = csum_replace4(check, (__u32)from->word[i], (__u32)to->word[i]);
		check = csum_replace4(check, (__u32)(from->word[i] >> 32), (__u32)(to->word[i] >> 32));
	}
	return check;
}

/* Changes an address that an ICMPv6 error quotes, and the error's checksum at `icmp_check`. 0 or DROP_*. */
static __always_inline int nat_quoted_address_v6(struct __sk_buff *ctx, __u32 icmp_check, __u32 ip_off, int side,
						 const addr_v6 *from, const addr_v6 *to)
{
	__u32 off = ip_off + (side == NAT_SOURCE ? IPV6_SADDR_OFF : IPV6_DADDR_OFF);

	if (bpf_skb_store_bytes(ctx, off, to, sizeof(*to), 0))
		return DROP_WRITE_ERROR;
	return nat_checksum_v6(ctx, icmp_check, from, to, 0);
}

#endif
