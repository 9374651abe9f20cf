// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The packet that an ICMP error quotes. */
#ifndef __LIB_QUOTED_V4_H
#define __LIB_QUOTED_V4_H

#include <waggle/internal/parse_v4.h>

/* The packet's headers quoted by an ICMP error: what we need of them and where they are. */
struct quoted_v4 {
	struct pkt_v4 pkt; /* as it was sent, so against the error's direction */
	__u32 ip_off;
};

/* Reads the IP header at `ip_off` and the eight bytes behind it; 0 or DROP_INVALID. */
static __always_inline int quoted_parse_v4(struct __sk_buff *ctx, __u32 ip_off, struct quoted_v4 *quoted)
{
	__u8 l4[8];
	struct iphdr ip;
	__u32 ip_len;

	__builtin_memset(quoted, 0, sizeof(*quoted));
	if (bpf_skb_load_bytes(ctx, ip_off, &ip, sizeof(ip)))
		return DROP_INVALID;
	ip_len = (*(__u8 *)&ip & 0x0f) * 4;
	if (ip_len < IPV4_MIN_HLEN || ip.frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET))
		return DROP_INVALID;
	quoted->ip_off = ip_off;
	quoted->pkt.l4.off = ip_off + ip_len;
	if (bpf_skb_load_bytes(ctx, quoted->pkt.l4.off, l4, sizeof(l4)))
		return DROP_INVALID;
	quoted->pkt.saddr = ip.saddr;
	quoted->pkt.daddr = ip.daddr;
	quoted->pkt.l4.protocol = ip.protocol;
	if (ip.protocol == IPPROTO_ICMP) {
		parse_icmp_v4(l4, &quoted->pkt.l4);
	} else {
		quoted->pkt.l4.sport = *(__be16 *)&l4[0];
		quoted->pkt.l4.dport = *(__be16 *)&l4[2];
	}
	return 0;
}

#endif
