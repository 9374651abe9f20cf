// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Reading the headers of an IPv4 packet, fragments included. PRIVATE to the datapath.
 *
 * A packet that passes is safe to work on: the IP header is whole, the length fields agree with the
 * buffer, and the first bytes of a known transport header lie within the packet.
 */
#ifndef __WAGGLE_INTERNAL_PARSE_V4_H
#define __WAGGLE_INTERNAL_PARSE_V4_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <waggle/drop_reasons.h>
#include <waggle/internal/addr.h>
#include <waggle/internal/branch.h>
#include <waggle/internal/frame.h>
#include <waggle/internal/l4.h>
#include <waggle/internal/once.h>

#define IPV4_OFF ETH_HLEN
#define IPV4_MIN_HLEN ((__u32)sizeof(struct iphdr))

/* RFC 791: flag and offset bits of iphdr.frag_off */
#define IPV4_DONT_FRAGMENT 0x4000
#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV4_FRAGMENT_OFFSET 0x1fff

/* RFC 792. Not from <linux/icmp.h>, which drags in the C library. */
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_SOURCE_QUENCH 4
#define ICMP_REDIRECT 5
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
struct ipv4_frag_id {
	__be32 daddr;
	__be32 saddr;
	__be16 id;
	__u8 proto;
	__u8 pad;
};

struct ipv4_frag_l4ports {
	__be16 sport;
	__be16 dport;
};

/* Ports of fragmented datagrams. Written when a first fragment is seen, read for the later ones. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct ipv4_frag_id);
	__type(value, struct ipv4_frag_l4ports);
} cilium_ipv4_frag_datagrams SEC(".maps");

struct addresses_v4 {
	addr_v4 saddr;
	addr_v4 daddr;
};

/* The IP header without options, or NULL when the frame is too short. */
static __always_inline struct iphdr *ip_header_v4(struct __sk_buff *ctx)
{
	void *data = frame_head(ctx, IPV4_OFF + IPV4_MIN_HLEN);

	return data ? data + IPV4_OFF : (void *)0;
}

/* Reads the addresses alone. 0 or DROP_INVALID. */
static __always_inline int addresses_load_v4(struct __sk_buff *ctx, struct addresses_v4 *addresses)
{
	const struct iphdr *ip = ip_header_v4(ctx);

	if (unlikely(!ip))
		return DROP_INVALID;
	addresses->saddr = ip->saddr;
	addresses->daddr = ip->daddr;
	return 0;
}

/* Where the transport header begins, from the start of the frame; 0 when there is none in the packet. */
static __always_inline __u32 l4_offset_v4(struct __sk_buff *ctx)
{
	const struct iphdr *ip = ip_header_v4(ctx);
	__u32 ip_len;

	if (!ip || ip->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET))
		return 0;
	ip_len = (*(const __u8 *)ip & 0x0f) * 4;
	return ip_len < IPV4_MIN_HLEN ? 0 : IPV4_OFF + ip_len;
}

static __always_inline void parse_icmp_v4(const __u8 *icmp, struct pkt_l4 *l4)
{
	__be16 id = *(const __be16 *)(icmp + 4);

	switch (icmp[0]) {
	case ICMP_ECHO:
		l4->sport = id;
		l4->dport = bpf_htons(ICMP_ECHO);
		l4->icmp_echo = ICMP_ECHO_REQUEST_SEEN;
		break;
	case ICMP_ECHOREPLY:
		l4->sport = bpf_htons(ICMP_ECHO);
		l4->dport = id;
		l4->icmp_echo = ICMP_ECHO_REPLY_SEEN;
		break;
	case ICMP_DEST_UNREACH:
	case ICMP_SOURCE_QUENCH:
	case ICMP_REDIRECT:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETERPROB:
		l4->icmp_error = 1;
		/* fallthrough */
	default:
		l4->dport = bpf_htons(icmp[0]);
	}
}

/* Fills in the ports of a fragment, or remembers them for those that follow. */
static __always_inline int parse_fragment_v4(struct pkt_v4 *pkt, __be16 id)
{
	struct ipv4_frag_id key = {
		.daddr = pkt->daddr,
		.saddr = pkt->saddr,
		.id = id,
		.proto = pkt->l4.protocol,
	};
	const struct ipv4_frag_l4ports *known;

	if (pkt->l4.fragment == FRAGMENT_FIRST) {
		struct ipv4_frag_l4ports ports = {.sport = pkt->l4.sport, .dport = pkt->l4.dport};

		/* A full table only means that the later fragments will be dropped. */
		bpf_map_update_elem(&cilium_ipv4_frag_datagrams, &key, &ports, BPF_ANY);
		return 0;
	}
	known = bpf_map_lookup_elem(&cilium_ipv4_frag_datagrams, &key);
	if (!known)
		return DROP_FRAG_NOT_FOUND;
	pkt->l4.sport = known->sport;
	pkt->l4.dport = known->dport;
	return 0;
}

/* parse_v4() into zeros: verified by itself, it takes no memory that was never written (before Linux 6.3). */
VERIFY_ONCE int parse_zeroed_v4(struct __sk_buff *ctx, struct pkt_v4 *pkt)
{
	__u32 ip_len, total, need, frag_off;
	struct iphdr *ip = ip_header_v4(ctx);
	__be16 id;
	__u8 *l4;

	if (unlikely(!pkt))
		return DROP_INVALID;
	if (unlikely(!ip))
		return DROP_INVALID;
	ip_len = (*(__u8 *)ip & 0x0f) * 4;
	total = bpf_ntohs(ip->tot_len);
	if (unlikely(!total) && ctx->gso_size) /* "BIG TCP": too long for the field, cut up later */
		total = ctx->len - IPV4_OFF;
	if (unlikely(*(__u8 *)ip >> 4 != 4 || ip_len < IPV4_MIN_HLEN || total < ip_len ||
		     IPV4_OFF + total > ctx->len))
		return DROP_INVALID;

	pkt->saddr = ip->saddr;
	pkt->daddr = ip->daddr;
	pkt->l4.protocol = ip->protocol;
	pkt->l4.off = IPV4_OFF + ip_len;
	id = ip->id;
	frag_off = bpf_ntohs(ip->frag_off);
	if (unlikely(frag_off & IPV4_FRAGMENT_OFFSET))
		pkt->l4.fragment = FRAGMENT_LATER;
	else if (unlikely(frag_off & IPV4_MORE_FRAGMENTS))
		pkt->l4.fragment = FRAGMENT_FIRST;

	need = l4_need(pkt->l4.protocol);
	if (unlikely(!need))
		return 0;
	if (unlikely(pkt->l4.fragment == FRAGMENT_LATER))
		return parse_fragment_v4(pkt, id);
	if (unlikely(ip_len + need > total))
		return DROP_INVALID;

	/* frame_head() has the bytes; the verifier wants them proven for this pointer too. */
	l4 = frame_head(ctx, IPV4_OFF + ip_len + need);
	if (unlikely(!l4))
		return DROP_INVALID;
	l4 += IPV4_OFF + ip_len;
	if (unlikely((void *)l4 + 8 > ctx_data_end(ctx)))
		return DROP_INVALID;

	if (unlikely(pkt->l4.protocol == IPPROTO_ICMP)) {
		parse_icmp_v4(l4, &pkt->l4);
	} else {
		pkt->l4.sport = *(__be16 *)l4;
		pkt->l4.dport = *(__be16 *)(l4 + 2);
		if (pkt->l4.protocol == IPPROTO_TCP) {
			if (unlikely((void *)l4 + TCP_MIN_HLEN > ctx_data_end(ctx)))
				return DROP_INVALID;
			pkt->l4.tcp_flags = l4[TCP_FLAGS_OFF];
		}
	}
	return unlikely(pkt->l4.fragment) ? parse_fragment_v4(pkt, id) : 0;
}

/*
 * Reads the packet's headers into `pkt`. 0, or DROP_INVALID, or DROP_FRAG_NOT_FOUND (then all but the
 * ports is filled in). Invalidates packet pointers.
 */
static __always_inline int parse_v4(struct __sk_buff *ctx, struct pkt_v4 *pkt)
{
	__builtin_memset(pkt, 0, sizeof(*pkt));
	return parse_zeroed_v4(ctx, pkt);
}

#endif
