// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Changing transport headers, and those quoted by ICMP errors. Independent of the address family. */
#ifndef __LIB_L4_PATCH_H
#define __LIB_L4_PATCH_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <waggle/drop_reasons.h>
#include <waggle/internal/l4.h>

#define NAT_SOURCE 0
#define NAT_DESTINATION 1

#define L4_SPORT_OFF 0
#define L4_DPORT_OFF 2
#define ICMP_ID_OFF 4
#define TCP_CHECK_OFF 16
#define UDP_CHECK_OFF 6
#define ICMP_CHECK_OFF 2

/* Does this end of the packet have a port, or an echo's identifier in place of one? */
static __always_inline _Bool l4_has_port(const struct pkt_l4 *l4, int side)
{
	if (!l4_is_icmp(l4->protocol))
		return l4_need(l4->protocol) != 0;
	return l4->icmp_echo == (side == NAT_SOURCE ? ICMP_ECHO_REQUEST_SEEN : ICMP_ECHO_REPLY_SEEN);
}

/* Where the port of this end is, within the transport header. */
static __always_inline __u32 l4_port_off(const struct pkt_l4 *l4, int side)
{
	if (l4_is_icmp(l4->protocol))
		return ICMP_ID_OFF;
	return side == NAT_SOURCE ? L4_SPORT_OFF : L4_DPORT_OFF;
}

/* Where the checksum is, within the transport header. Not for SCTP, whose checksum no helper can update. */
static __always_inline __u32 l4_check_off(__u8 protocol)
{
	if (protocol == IPPROTO_TCP)
		return TCP_CHECK_OFF;
	return protocol == IPPROTO_UDP ? UDP_CHECK_OFF : ICMP_CHECK_OFF;
}

/*
 * Gives this end of the packet another port. `flags` are of bpf_l4_csum_replace(). 0, DROP_WRITE_ERROR or
 * DROP_CSUM_L4.
 */
static __always_inline int l4_set_port(struct __sk_buff *ctx, const struct pkt_l4 *l4, int side, __be16 port, __u64 flags)
{
	__be16 old = side == NAT_SOURCE ? l4->sport : l4->dport;

	/* SCTP's checksum (CRC32c, RFC 9260) covers its ports, and no helper knows it. */
	if (l4->protocol == IPPROTO_SCTP ||
	    bpf_l4_csum_replace(ctx, l4->off + l4_check_off(l4->protocol), old, port, flags | sizeof(port)))
		return DROP_CSUM_L4;
	return bpf_skb_store_bytes(ctx, l4->off + l4_port_off(l4, side), &port, sizeof(port), 0) ? DROP_WRITE_ERROR : 0;
}

/* Changes two bytes within an ICMP message and its checksum at `icmp_check`. */
static __always_inline int icmp_patch2(struct __sk_buff *ctx, __u32 icmp_check, __u32 off, __u16 from, __u16 to)
{
	if (bpf_skb_store_bytes(ctx, off, &to, sizeof(to), 0))
		return DROP_WRITE_ERROR;
	return bpf_l4_csum_replace(ctx, icmp_check, from, to, sizeof(to)) ? DROP_CSUM_L4 : 0;
}

#endif
