// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The packet that an ICMPv6 error quotes: the twin of quoted_v4.h. */
#ifndef __LIB_QUOTED_V6_H
#define __LIB_QUOTED_V6_H

#include <waggle/internal/parse_v6.h>

/* The packet's headers quoted by an ICMPv6 error: what we need of them and where they are. */
struct quoted_v6 {
	struct pkt_v6 pkt; /* as it was sent, so against the error's direction */
	__u32 ip_off;
};

/* Reads the IP header at `ip_off`, and the eight bytes behind it and its extensions; 0 or DROP_INVALID. */
static __always_inline int quoted_parse_v6(struct __sk_buff *ctx, __u32 ip_off, struct quoted_v6 *quoted)
{
	union ipv6_chain chain = {.l4_off = ip_off + IPV6_HLEN};
	struct ipv6_header ip;
	__u8 l4[8];

	__builtin_memset(quoted, 0, sizeof(*quoted));
	if (bpf_skb_load_bytes(ctx, ip_off, &ip, sizeof(ip)))
		return DROP_INVALID;
	chain.protocol = ip.next_header;
	if (ipv6_is_extension(chain.protocol))
		chain.word = ipv6_walk(ctx, ip_off + IPV6_HLEN, chain.protocol);
	if (!chain.l4_off || chain.fragment == FRAGMENT_LATER ||
	    bpf_skb_load_bytes(ctx, chain.l4_off, l4, sizeof(l4)))
		return DROP_INVALID;
	quoted->ip_off = ip_off;
	quoted->pkt.saddr = ip.saddr;
	quoted->pkt.daddr = ip.daddr;
	quoted->pkt.l4.off = chain.l4_off;
	quoted->pkt.l4.protocol = chain.protocol;
	if (chain.protocol == IPPROTO_ICMPV6) {
		parse_icmp_v6(l4, &quoted->pkt.l4);
	} else {
		quoted->pkt.l4.sport = *(__be16 *)&l4[0];
		quoted->pkt.l4.dport = *(__be16 *)&l4[2];
	}
	return 0;
}

#endif
