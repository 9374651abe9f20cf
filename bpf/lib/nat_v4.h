// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Rewriting addresses and ports of IPv4 packets, and those quoted by ICMP errors. */
#ifndef __LIB_NAT_V4_H
#define __LIB_NAT_V4_H

#include "csum.h"
#include "quoted_v4.h"

#define NAT_SOURCE 0
#define NAT_DESTINATION 1

#define IPV4_CHECK_OFF 10
#define IPV4_SADDR_OFF 12
#define IPV4_DADDR_OFF 16
#define L4_SPORT_OFF 0
#define L4_DPORT_OFF 2
#define TCP_CHECK_OFF 16
#define UDP_CHECK_OFF 6
#define ICMP_CHECK_OFF 2

/*
 * Gives the packet another source or destination. `pkt` is what parse_v4() said of it and is brought up to
 * date. 0, DROP_INVALID, DROP_WRITE_ERROR or DROP_CSUM_L4.
 *
 * The transport checksum goes through the helper, which knows what the hardware is still to fill in: the
 * address counts in the pseudo header, the port in the data.
 */
static __always_inline int nat_rewrite_v4(struct __sk_buff *ctx, struct pkt_v4 *pkt, int side, __be32 addr,
					  __be16 port)
{
	__be32 old_addr = side == NAT_SOURCE ? pkt->saddr : pkt->daddr;
	__be16 old_port = side == NAT_SOURCE ? pkt->l4.sport : pkt->l4.dport;
	struct iphdr *ip = ip_header_v4(ctx);
	__u64 flags = 0;
	__u32 check_off;

	if (!ip)
		return DROP_INVALID;
	ip->check = csum_replace4(ip->check, old_addr, addr);
	if (side == NAT_SOURCE)
		pkt->saddr = ip->saddr = addr;
	else
		pkt->daddr = ip->daddr = addr;

	if (pkt->l4.protocol == IPPROTO_TCP) {
		check_off = pkt->l4.off + TCP_CHECK_OFF;
	} else if (pkt->l4.protocol == IPPROTO_UDP) {
		check_off = pkt->l4.off + UDP_CHECK_OFF;
		flags = BPF_F_MARK_MANGLED_0; /* zero means "no checksum" and stays so */
	} else {
		return 0;
	}
	if (side == NAT_SOURCE)
		pkt->l4.sport = port;
	else
		pkt->l4.dport = port;
	if (pkt->l4.fragment == FRAGMENT_LATER) /* the first fragment carried the rest */
		return 0;

	if (bpf_l4_csum_replace(ctx, check_off, old_addr, addr, flags | BPF_F_PSEUDO_HDR | 4))
		return DROP_CSUM_L4;
	if (port == old_port)
		return 0;
	if (bpf_l4_csum_replace(ctx, check_off, old_port, port, flags | 2))
		return DROP_CSUM_L4;
	if (bpf_skb_store_bytes(ctx, pkt->l4.off + (side == NAT_SOURCE ? L4_SPORT_OFF : L4_DPORT_OFF),
				&port, sizeof(port), 0))
		return DROP_WRITE_ERROR;
	return 0;
}

/* Changes two bytes within an ICMP message and its checksum at `icmp_check`. */
static __always_inline int icmp_patch2(struct __sk_buff *ctx, __u32 icmp_check, __u32 off, __u16 from,
				       __u16 to)
{
	if (bpf_skb_store_bytes(ctx, off, &to, sizeof(to), 0))
		return DROP_WRITE_ERROR;
	return bpf_l4_csum_replace(ctx, icmp_check, from, to, 2) ? DROP_CSUM_L4 : 0;
}

/* Brings the quoted transport checksum up to date, if there is one in what is quoted. */
static __always_inline int nat_quoted_checksum_v4(struct __sk_buff *ctx, __u32 icmp_check,
						  const struct quoted_v4 *quoted, __be32 old_addr,
						  __be32 addr, __be16 old_port, __be16 port)
{
	__u32 off = quoted->pkt.l4.off +
		    (quoted->pkt.l4.protocol == IPPROTO_TCP ? TCP_CHECK_OFF : UDP_CHECK_OFF);
	__u16 check, fresh;

	if (bpf_skb_load_bytes(ctx, off, &check, sizeof(check)))
		return 0; /* quotes of the required eight bytes end before TCP's checksum */
	if (!check && quoted->pkt.l4.protocol == IPPROTO_UDP)
		return 0;
	fresh = csum_replace4(check, old_addr, addr);
	fresh = csum_replace2(fresh, old_port, port);
	return icmp_patch2(ctx, icmp_check, off, check, fresh);
}

/*
 * Translates the packet that an ICMP error quotes: its source or destination (`side`) becomes `addr`:`port`. The
 * quoted packet went the other way, so what is its destination is where the error comes from, and the reverse.
 * That end of the error itself is translated only if it is the same host: a router on the way keeps its name.
 */
static __always_inline int nat_related_v4(struct __sk_buff *ctx, struct pkt_v4 *pkt, int side, __be32 addr,
					  __be16 port)
{
	__u32 icmp_check = pkt->l4.off + ICMP_CHECK_OFF, addr_off, port_off;
	__be16 old_port, check, fresh;
	struct quoted_v4 quoted;
	__be32 old_addr;
	int ret;

	if (quoted_parse_v4(ctx, pkt->l4.off + ICMP_HLEN, &quoted))
		return DROP_INVALID;
	if (quoted.pkt.l4.protocol != IPPROTO_TCP && quoted.pkt.l4.protocol != IPPROTO_UDP)
		return 0;
	old_addr = side == NAT_SOURCE ? quoted.pkt.saddr : quoted.pkt.daddr;
	old_port = side == NAT_SOURCE ? quoted.pkt.l4.sport : quoted.pkt.l4.dport;
	addr_off = quoted.ip_off + (side == NAT_SOURCE ? IPV4_SADDR_OFF : IPV4_DADDR_OFF);
	port_off = quoted.pkt.l4.off + (side == NAT_SOURCE ? L4_SPORT_OFF : L4_DPORT_OFF);

	ret = nat_quoted_checksum_v4(ctx, icmp_check, &quoted, old_addr, addr, old_port, port);
	if (ret)
		return ret;
	ret = icmp_patch2(ctx, icmp_check, port_off, old_port, port);
	if (ret)
		return ret;
	if (bpf_skb_load_bytes(ctx, quoted.ip_off + IPV4_CHECK_OFF, &check, sizeof(check)))
		return DROP_INVALID;
	fresh = csum_replace4(check, old_addr, addr);
	ret = icmp_patch2(ctx, icmp_check, quoted.ip_off + IPV4_CHECK_OFF, check, fresh);
	if (ret)
		return ret;
	if (bpf_skb_store_bytes(ctx, addr_off, &addr, sizeof(addr), 0))
		return DROP_WRITE_ERROR;
	if (bpf_l4_csum_replace(ctx, icmp_check, old_addr, addr, 4))
		return DROP_CSUM_L4;
	if (side == NAT_DESTINATION && pkt->saddr == old_addr)
		return nat_rewrite_v4(ctx, pkt, NAT_SOURCE, addr, 0);
	if (side == NAT_SOURCE && pkt->daddr == old_addr)
		return nat_rewrite_v4(ctx, pkt, NAT_DESTINATION, addr, 0);
	return 0;
}

#endif
