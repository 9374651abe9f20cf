// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Translating addresses and ports, of packets and of those quoted by ICMP errors. Once for each family (family_v4.h).
 *
 * The work is done in global functions: the verifier looks at each once, by itself, and not again at every way that
 * leads there. It wants their pointers checked.
 */
#include "nat_v4.h"
#include "nat_v6.h"

/* Brings what is known of the packet up to date. */
static __always_inline void F(nat_note)(struct F(pkt) *pkt, int side, F(addr) addr, __be16 port)
{
	if (side == NAT_SOURCE) {
		pkt->saddr = addr;
		pkt->l4.sport = port;
	} else {
		pkt->daddr = addr;
		pkt->l4.dport = port;
	}
}

/*
 * Gives the packet another source or destination (`side`); for echoes the identifier is the requester's port, and for
 * what has no port on that side `port` means nothing. `pkt` is what the parser said, and is brought up to date.
 * 0, DROP_INVALID, DROP_WRITE_ERROR or DROP_CSUM_L4.
 *
 * The transport checksum goes through the helper, which knows what the hardware is still to fill in: the
 * address counts in the pseudo header, the port in the data.
 */
__attribute__((noinline, weak)) int F(nat_rewrite_to)(struct __sk_buff *ctx, struct F(pkt) *pkt, int side,
						      const F(addr) *to, __be16 port)
{
	const F(addr) *from;
	__be16 old_port;
	__u32 check_off;
	__u64 flags;
	int ret;

	if (!pkt || !to)
		return DROP_INVALID;
	from = side == NAT_SOURCE ? &pkt->saddr : &pkt->daddr;
	old_port = side == NAT_SOURCE ? pkt->l4.sport : pkt->l4.dport;
	if (!l4_has_port(&pkt->l4, side))
		port = old_port;
	ret = F(nat_address)(ctx, side, from, to);
	if (ret)
		return ret;
	/* The first of several fragments carries the transport header for all. */
	if (pkt->l4.fragment != FRAGMENT_LATER) {
		check_off = pkt->l4.off + l4_check_off(pkt->l4.protocol);
		/* A zero checksum of UDP means "none" and stays so. */
		flags = pkt->l4.protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
		if (F(nat_pseudo_header)(pkt->l4.protocol)) {
			ret = F(nat_checksum)(ctx, check_off, from, to, flags | BPF_F_PSEUDO_HDR);
			if (ret)
				return ret;
		}
		if (port != old_port) {
			ret = l4_set_port(ctx, &pkt->l4, side, port, flags);
			if (ret)
				return ret;
		}
	}
	F(nat_note)(pkt, side, *to, port);
	return 0;
}

static __always_inline int F(nat_rewrite)(struct __sk_buff *ctx, struct F(pkt) *pkt, int side, F(addr) addr,
					  __be16 port)
{
	return F(nat_rewrite_to)(ctx, pkt, side, &addr, port);
}

/* Brings the quoted transport checksum up to date, if there is one in what is quoted. */
static __always_inline int F(nat_quoted_checksum)(struct __sk_buff *ctx, __u32 icmp_check,
						  const struct F(quoted) *quoted, const F(addr) *from,
						  const F(addr) *to, __be16 old_port, __be16 port)
{
	__u8 protocol = quoted->pkt.l4.protocol;
	__u32 off = quoted->pkt.l4.off + l4_check_off(protocol);
	__u16 check, fresh;

	if (protocol == IPPROTO_SCTP)
		return 0;
	if (bpf_skb_load_bytes(ctx, off, &check, sizeof(check)))
		return 0; /* quotes of the required eight bytes end before TCP's checksum */
	if (!check && protocol == IPPROTO_UDP)
		return 0;
	fresh = F(nat_pseudo_header)(protocol) ? F(csum_replace_address)(check, from, to) : check;
	return icmp_patch2(ctx, icmp_check, off, check, csum_replace2(fresh, old_port, port));
}

/*
 * Translates the packet that an ICMP error quotes: its source or destination (`side`) becomes `addr`:`port`. The
 * quoted packet went the other way, so what is its destination is where the error comes from, and the reverse.
 * That end of the error itself is translated only if it is the same host: a router on the way keeps its name.
 */
static __always_inline int F(nat_related)(struct __sk_buff *ctx, struct F(pkt) *pkt, int side, F(addr) addr,
					  __be16 port)
{
	int other = side == NAT_SOURCE ? NAT_DESTINATION : NAT_SOURCE, ret;
	__u32 icmp_check = pkt->l4.off + ICMP_CHECK_OFF;
	struct F(quoted) quoted;
	const F(addr) *from;
	__be16 old_port;

	if (F(quoted_parse)(ctx, pkt->l4.off + ICMP_HLEN, &quoted))
		return DROP_INVALID;
	from = side == NAT_SOURCE ? &quoted.pkt.saddr : &quoted.pkt.daddr;
	old_port = side == NAT_SOURCE ? quoted.pkt.l4.sport : quoted.pkt.l4.dport;
	if (!l4_has_port(&quoted.pkt.l4, side))
		port = old_port;

	ret = F(nat_quoted_checksum)(ctx, icmp_check, &quoted, from, &addr, old_port, port);
	if (!ret && port != old_port)
		ret = icmp_patch2(ctx, icmp_check, quoted.pkt.l4.off + l4_port_off(&quoted.pkt.l4, side), old_port,
				  port);
	if (!ret)
		ret = F(nat_quoted_address)(ctx, icmp_check, quoted.ip_off, side, from, &addr);
	if (ret)
		return ret;
	if (!F(addr_equal)(other == NAT_SOURCE ? pkt->saddr : pkt->daddr, *from))
		return 0;
	return F(nat_rewrite)(ctx, pkt, other, addr, 0);
}
