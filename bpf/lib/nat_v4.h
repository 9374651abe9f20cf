// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Addresses of IPv4 packets, changed. What is built on these is in nat.h. */
#ifndef __LIB_NAT_V4_H
#define __LIB_NAT_V4_H

#include <linux/in.h>
#include "csum.h"
#include "l4_patch.h"
#include "quoted_v4.h"

#define IPV4_CHECK_OFF 10
#define IPV4_SADDR_OFF 12
#define IPV4_DADDR_OFF 16

/* Does the transport checksum cover the addresses? */
static __always_inline _Bool nat_pseudo_header_v4(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

/*
 * Gives the packet another source or destination; the IP header's checksum follows. 0, DROP_INVALID or DROP_WRITE_ERROR.
 *
 * Written by the helper: of a program that writes into packets itself the kernel makes each packet's headers writable
 * before it runs, also of the many that are not translated.
 */
static __always_inline int nat_address_v4(struct __sk_buff *ctx, int side, const addr_v4 *from,
					  const addr_v4 *to)
{
	const struct iphdr *ip = ip_header_v4(ctx);
	struct {
		__u16 check;
		addr_v4 saddr;
		addr_v4 daddr;
	} __attribute__((packed)) end;

	if (!ip)
		return DROP_INVALID;
	end.check = csum_replace4(ip->check, *from, *to);
	end.saddr = side == NAT_SOURCE ? *to : ip->saddr;
	end.daddr = side == NAT_SOURCE ? ip->daddr : *to;
	return bpf_skb_store_bytes(ctx, IPV4_OFF + IPV4_CHECK_OFF, &end, sizeof(end), 0) ? DROP_WRITE_ERROR : 0;
}

/* Brings the checksum at `check_off` up to date for a changed address. `flags` are of bpf_l4_csum_replace(). */
static __always_inline int nat_checksum_v4(struct __sk_buff *ctx, __u32 check_off, const addr_v4 *from,
					   const addr_v4 *to, __u64 flags)
{
	return bpf_l4_csum_replace(ctx, check_off, *from, *to, flags | sizeof(*to)) ? DROP_CSUM_L4 : 0;
}

/* The checksum `check` after an address that it covers has changed. */
static __always_inline __u16 csum_replace_address_v4(__u16 check, const addr_v4 *from, const addr_v4 *to)
{
	return csum_replace4(check, *from, *to);
}

/* Changes an address that an ICMP error quotes, its header's checksum, and the error's at `icmp_check`. 0 or DROP_*. */
static __always_inline int nat_quoted_address_v4(struct __sk_buff *ctx, __u32 icmp_check, __u32 ip_off, int side,
						 const addr_v4 *from, const addr_v4 *to)
{
	__u32 off = ip_off + (side == NAT_SOURCE ? IPV4_SADDR_OFF : IPV4_DADDR_OFF);
	__u16 check;
	int ret;

	if (bpf_skb_load_bytes(ctx, ip_off + IPV4_CHECK_OFF, &check, sizeof(check)))
		return DROP_INVALID;
	ret = icmp_patch2(ctx, icmp_check, ip_off + IPV4_CHECK_OFF, check,
			  csum_replace4(check, *from, *to));
	if (ret)
		return ret;
	if (bpf_skb_store_bytes(ctx, off, to, sizeof(*to), 0))
		return DROP_WRITE_ERROR;
	return nat_checksum_v4(ctx, icmp_check, from, to, 0);
}

#endif
