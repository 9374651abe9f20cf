// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Turning a TCP segment into the reset that answers it (RFC 9293, 3.5.2). An ICMP error would be a hint, which a
 * socket that is busy sending overlooks; a reset is the end. Once for each family (family_v4.h).
 */
#include "tcp_reset_v4.h"
#include "tcp_reset_v6.h"

/*
 * Is the checksum at `off` still to be completed by whoever sends the packet on the wire? The helper then leaves the
 * field alone when data has changed. The field is zero afterwards. 0, 1 or DROP_*.
 */
static __always_inline int F(tcp_checksum_is_open)(struct __sk_buff *ctx, __u32 off)
{
	__u16 zero = 0, seen = 0;

	if (bpf_skb_store_bytes(ctx, off, &zero, sizeof(zero), BPF_F_RECOMPUTE_CSUM) ||
	    bpf_l4_csum_replace(ctx, off, 0, 1, sizeof(zero)) ||
	    bpf_skb_load_bytes(ctx, off, &seen, sizeof(seen)))
		return DROP_WRITE_ERROR;
	if (!seen)
		return 1;
	return bpf_skb_store_bytes(ctx, off, &zero, sizeof(zero), 0) ? DROP_WRITE_ERROR : 0;
}

/* Sequence numbers and flags of the answer to a segment with `seq` and `ack`. */
static __always_inline void F(tcp_reset_numbers)(struct tcp_header *tcp, const struct F(pkt) *pkt, __be32 seq,
						 __be32 ack)
{
	if (pkt->l4.tcp_flags & TCP_ACK) {
		tcp->seq = ack;
		tcp->flags = TCP_RST;
	} else { /* a SYN counts as one byte */
		tcp->ack = bpf_htonl(bpf_ntohl(seq) + 1);
		tcp->flags = TCP_RST | TCP_ACK;
	}
}

/* The checksum of the reset: complete, or what has to be there for it to be completed. 0 or DROP_*. */
static __always_inline int F(tcp_reset_checksum)(struct F(tcp_reset_packet) *packet, F(addr) from, F(addr) to,
						 _Bool open)
{
	__s64 sum = F(tcp_pseudo_sum)(from, to);

	if (sum < 0)
		return DROP_CSUM_L4;
	if (open) {
		packet->tcp.check = ~csum_fold((__u32)sum);
		return 0;
	}
	sum = bpf_csum_diff(0, 0, (__be32 *)&packet->tcp, sizeof(packet->tcp), (__wsum)sum);
	if (sum < 0)
		return DROP_CSUM_L4;
	packet->tcp.check = csum_fold((__u32)sum);
	return 0;
}

/*
 * Is the packet one that a reset can answer in its place? Not a reset, nor anything without acknowledgement that opens
 * nothing, nor what has more between its headers than we would leave there.
 */
static __always_inline _Bool F(tcp_may_reset)(const struct F(pkt) *pkt)
{
	return pkt->l4.protocol == IPPROTO_TCP && pkt->l4.fragment == FRAGMENT_NONE &&
	       !(pkt->l4.tcp_flags & TCP_RST) && pkt->l4.tcp_flags & (TCP_ACK | TCP_SYN) &&
	       pkt->l4.off == ETH_HLEN + sizeof(((struct F(tcp_reset_packet) *)0)->ip);
}

/*
 * Replaces the segment by a reset to its sender, from where it was sent to; Ethernet addresses are left as they are. 0
 * or DROP_*.
 */
static __always_inline int F(tcp_reset)(struct __sk_buff *ctx, const struct F(pkt) *pkt)
{
	const __u32 off = ETH_HLEN + sizeof(((struct F(tcp_reset_packet) *)0)->ip);
	struct F(tcp_reset_packet) packet = {};
	__be32 numbers[2];
	int open, ret;

	if (bpf_skb_load_bytes(ctx, off + TCP_SEQ_OFF, numbers, sizeof(numbers)))
		return DROP_INVALID;
	packet.tcp.sport = pkt->l4.dport;
	packet.tcp.dport = pkt->l4.sport;
	packet.tcp.data_offset = sizeof(packet.tcp) / 4 << 4;
	F(tcp_reset_numbers)(&packet.tcp, pkt, numbers[0], numbers[1]);
	if (bpf_skb_change_tail(ctx, ETH_HLEN + sizeof(packet), 0))
		return DROP_WRITE_ERROR;
	open = F(tcp_checksum_is_open)(ctx, off + TCP_CHECKSUM_OFF);
	if (open < 0)
		return open;
	ret = F(tcp_reset_ip)(&packet, pkt->daddr, pkt->saddr);
	if (ret)
		return ret;
	ret = F(tcp_reset_checksum)(&packet, pkt->daddr, pkt->saddr, open);
	if (ret)
		return ret;
	return bpf_skb_store_bytes(ctx, ETH_HLEN, &packet, sizeof(packet),
				   BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH)
		       ? DROP_WRITE_ERROR
		       : 0;
}
