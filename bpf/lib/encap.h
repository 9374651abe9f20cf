// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Into the tunnel: VXLAN of the overlay device, which is in metadata mode and takes its orders packet by packet. */
#ifndef __LIB_ENCAP_H
#define __LIB_ENCAP_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <waggle/drop_reasons.h>
#include <waggle/internal/frame.h>
#include <waggle/internal/l4.h>

#define ENCAP_TTL 64
#define TCP_DATA_OFFSET_OFF 12

/*
 * Sends the packet to `node` (its address on the underlay) through the overlay device `ifindex`, and says who it is
 * from. The verdict to return, or DROP_WRITE_ERROR. The overlay device's egress program runs on it.
 */
static __always_inline int encap_redirect(struct __sk_buff *ctx, __u32 ifindex, __be32 node, __u32 identity)
{
	struct bpf_tunnel_key key = {
		.tunnel_id = identity,
		.remote_ipv4 = bpf_ntohl(node), /* the helper takes it in the host's order */
		.tunnel_ttl = ENCAP_TTL,
	};

	/* The inner packet has checksums of its own: none over IPv4's outer UDP (RFC 7348, 5). */
	if (bpf_skb_set_tunnel_key(ctx, &key, sizeof(key), BPF_F_ZERO_CSUM_TX))
		return DROP_WRITE_ERROR;
	return bpf_redirect(ifindex, 0);
}

/*
 * Is it a packet of the tunnel, which is at UDP port `port` of the node `node`? Only plain ones are told; others are
 * found out where all headers are read.
 */
static __always_inline _Bool encap_is_plain(struct __sk_buff *ctx, __be32 node, __u16 port)
{
	const struct iphdr *ip = frame_head(ctx, ETH_HLEN + sizeof(*ip) + UDP_HLEN);
	const __be16 *udp;

	if (!ip)
		return 0;
	ip = (const void *)ip + ETH_HLEN;
	udp = (const void *)(ip + 1);
	/* No options and no fragment. */
	return *(const __u8 *)ip == 0x45 && !(ip->frag_off & bpf_htons(0x3fff)) && ip->protocol == IPPROTO_UDP &&
	       ip->daddr == node && udp[1] == bpf_htons(port);
}

/*
 * Is the packet too long for a tunnel that takes IP packets of `mtu` bytes (0: no limit known)? `l4` is what the
 * parser said. A packet still to be split into segments is as long as one of them.
 */
static __always_inline _Bool encap_too_long(struct __sk_buff *ctx, const struct pkt_l4 *l4, __u32 mtu)
{
	__u32 headers = l4->off - ETH_HLEN;
	__u8 data_offset;

	if (!mtu || ctx->len - ETH_HLEN <= mtu)
		return 0;
	if (!ctx->gso_size)
		return 1;
	if (l4->protocol != IPPROTO_TCP)
		return headers + UDP_HLEN + ctx->gso_size > mtu;
	if (bpf_skb_load_bytes(ctx, l4->off + TCP_DATA_OFFSET_OFF, &data_offset, sizeof(data_offset)))
		return 0;
	return headers + (data_offset >> 4) * 4 + ctx->gso_size > mtu;
}

#endif
