// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Reading the headers of an IPv6 packet, extension headers and fragments included: the twin of parse_v4.h.
 * PRIVATE to the datapath.
 */
#ifndef __WAGGLE_INTERNAL_PARSE_V6_H
#define __WAGGLE_INTERNAL_PARSE_V6_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <waggle/drop_reasons.h>
#include <waggle/internal/addr.h>
#include <waggle/internal/frame.h>
#include <waggle/internal/l4.h>
#include <waggle/internal/once.h>

#define IPV6_OFF ETH_HLEN
#define IPV6_HLEN 40
#define IPV6_L4_OFF (IPV6_OFF + IPV6_HLEN) /* without extension headers */

/* RFC 8200, 3. Not from <linux/ipv6.h>, whose addresses come with the C library. */
struct ipv6_header {
	__be32 version_class_flow;
	__be16 payload_len;
	__u8 next_header;
	__u8 hop_limit;
	addr_v6 saddr;
	addr_v6 daddr;
} __attribute__((packed, aligned(4)));

_Static_assert(sizeof(struct ipv6_header) == IPV6_HLEN, "IPv6 header is 40 bytes");

/* Extension headers: RFC 8200, 4; RFC 4302. */
#define IPV6_EXT_HOP_BY_HOP 0
#define IPV6_EXT_ROUTING 43
#define IPV6_EXT_FRAGMENT 44
#define IPV6_EXT_AUTHENTICATION 51
#define IPV6_EXT_DESTINATION 60

/* One of each kind, destination options twice (RFC 8200, 4.1), and room for one more. */
#define IPV6_EXT_MAX 7

/* The transport header begins at the latest here: less than the smallest MTU behind the start of the frame. */
#define IPV6_L4_OFF_MAX 1280

/* RFC 8200, 4.5: offset (in units of 8) and "more" bits of the fragment header. */
#define IPV6_FRAGMENT_OFFSET 0xfff8
#define IPV6_FRAGMENT_MORE 0x0001

/* RFC 4443. Smaller types are errors. */
#define ICMPV6_INFORMATIONAL 128
#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_PACKET_TOO_BIG 2
#define ICMPV6_TIME_EXCEEDED 3
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129

struct ipv6_frag_id {
	__be32 id;
	__u8 proto;
	__u8 pad[3];
	addr_v6 saddr;
	addr_v6 daddr;
};

struct ipv6_frag_l4ports {
	__be16 sport;
	__be16 dport;
};

_Static_assert(sizeof(struct ipv6_frag_id) == 40, "IPv6 fragment key is 40 bytes");

/* Ports of fragmented datagrams. Written when a first fragment is seen, read for the later ones. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct ipv6_frag_id);
	__type(value, struct ipv6_frag_l4ports);
} cilium_ipv6_frag_datagrams SEC(".maps");

struct addresses_v6 {
	addr_v6 saddr;
	addr_v6 daddr;
};

/* What ipv6_walk() found, in one word. */
union ipv6_chain {
	__u64 word;
	struct {
		__be32 fragment_id;
		__u16 l4_off; /* from the start of the frame; 0: the chain is malformed or too long */
		__u8 protocol;
		__u8 fragment; /* FRAGMENT_* */
	};
};

/* The IP header, or NULL when the frame is too short. */
static __always_inline struct ipv6_header *ip_header_v6(struct __sk_buff *ctx)
{
	void *data = frame_head(ctx, IPV6_OFF + IPV6_HLEN);

	return data ? data + IPV6_OFF : (void *)0;
}

/* Reads the addresses alone. 0 or DROP_INVALID. */
static __always_inline int addresses_load_v6(struct __sk_buff *ctx, struct addresses_v6 *addresses)
{
	const struct ipv6_header *ip = ip_header_v6(ctx);

	if (!ip)
		return DROP_INVALID;
	addresses->saddr = ip->saddr;
	addresses->daddr = ip->daddr;
	return 0;
}

static __always_inline _Bool ipv6_is_extension(__u8 next)
{
	return next == IPV6_EXT_HOP_BY_HOP || next == IPV6_EXT_ROUTING || next == IPV6_EXT_FRAGMENT ||
	       next == IPV6_EXT_AUTHENTICATION || next == IPV6_EXT_DESTINATION;
}

/*
 * Follows the extension headers from the one at `off`, of kind `next`, to what they stand before; returns a union
 * ipv6_chain. A global function: the verifier looks at it once, by itself, and not at every way through it
 * with all that follows. Packets without extension headers do not come here.
 */
__attribute__((noinline, weak)) __u64 ipv6_walk(struct __sk_buff *ctx, __u32 off, __u32 next)
{
	union ipv6_chain chain = {.word = 0};
	__u8 header[8];

	for (int i = 0; i < IPV6_EXT_MAX && off <= IPV6_L4_OFF_MAX; i++) {
		if (!ipv6_is_extension(next)) {
			chain.l4_off = off;
			chain.protocol = next;
			return chain.word;
		}
		if (bpf_skb_load_bytes(ctx, off, header, sizeof(header)))
			return 0;
		if (next == IPV6_EXT_FRAGMENT) {
			__u16 where = bpf_ntohs(*(__be16 *)&header[2]);

			chain.fragment_id = *(__be32 *)&header[4];
			chain.fragment = where & IPV6_FRAGMENT_OFFSET ? FRAGMENT_LATER
					 : where & IPV6_FRAGMENT_MORE ? FRAGMENT_FIRST
								      : FRAGMENT_NONE;
			off += 8;
			if (chain.fragment == FRAGMENT_LATER) {
				chain.l4_off = off;
				chain.protocol = header[0];
				return chain.word;
			}
		} else if (next == IPV6_EXT_AUTHENTICATION) {
			off += (header[1] + 2) * 4;
		} else {
			off += (header[1] + 1) * 8;
		}
		next = header[0];
	}
	return 0;
}

/* Where the transport header begins, from the start of the frame; 0 when there is none in the packet. */
static __always_inline __u32 l4_offset_v6(struct __sk_buff *ctx)
{
	const struct ipv6_header *ip = ip_header_v6(ctx);
	union ipv6_chain chain = {.l4_off = IPV6_L4_OFF};

	if (!ip)
		return 0;
	if (ipv6_is_extension(ip->next_header))
		chain.word = ipv6_walk(ctx, IPV6_L4_OFF, ip->next_header);
	return chain.fragment == FRAGMENT_LATER ? 0 : chain.l4_off;
}

static __always_inline void parse_icmp_v6(const __u8 *icmp, struct pkt_l4 *l4)
{
	__be16 id = *(const __be16 *)(icmp + 4);

	switch (icmp[0]) {
	case ICMPV6_ECHO_REQUEST:
		l4->sport = id;
		l4->dport = bpf_htons(ICMPV6_ECHO_REQUEST);
		l4->icmp_echo = ICMP_ECHO_REQUEST_SEEN;
		break;
	case ICMPV6_ECHO_REPLY:
		l4->sport = bpf_htons(ICMPV6_ECHO_REQUEST);
		l4->dport = id;
		l4->icmp_echo = ICMP_ECHO_REPLY_SEEN;
		break;
	default:
		l4->icmp_error = icmp[0] < ICMPV6_INFORMATIONAL;
		l4->dport = bpf_htons(icmp[0]);
	}
}

/* Fills in the ports of a fragment, or remembers them for those that follow. */
static __always_inline int parse_fragment_v6(struct pkt_v6 *pkt, __be32 id)
{
	struct ipv6_frag_id key = {
		.id = id,
		.proto = pkt->l4.protocol,
		.saddr = pkt->saddr,
		.daddr = pkt->daddr,
	};
	const struct ipv6_frag_l4ports *known;

	if (pkt->l4.fragment == FRAGMENT_FIRST) {
		struct ipv6_frag_l4ports ports = {.sport = pkt->l4.sport, .dport = pkt->l4.dport};

		/* A full table only means that the later fragments will be dropped. */
		bpf_map_update_elem(&cilium_ipv6_frag_datagrams, &key, &ports, BPF_ANY);
		return 0;
	}
	known = bpf_map_lookup_elem(&cilium_ipv6_frag_datagrams, &key);
	if (!known)
		return DROP_FRAG_NOT_FOUND;
	pkt->l4.sport = known->sport;
	pkt->l4.dport = known->dport;
	return 0;
}

/* parse_v6() into zeros: as parse_zeroed_v4(). */
VERIFY_ONCE int parse_zeroed_v6(struct __sk_buff *ctx, struct pkt_v6 *pkt)
{
	union ipv6_chain chain = {.l4_off = IPV6_L4_OFF};
	struct ipv6_header *ip = ip_header_v6(ctx);
	__u32 end, need, off;
	__u8 *l4;

	if (!pkt)
		return DROP_INVALID;
	if (!ip)
		return DROP_INVALID;
	end = IPV6_L4_OFF + bpf_ntohs(ip->payload_len);
	if (!ip->payload_len && ctx->gso_size) /* "BIG TCP": too long for the field, cut up later */
		end = ctx->len;
	if (*(__u8 *)ip >> 4 != 6 || end > ctx->len)
		return DROP_INVALID;
	for (int i = 0; i < 2; i++) { /* whole words, as they are read */
		pkt->saddr.word[i] = ip->saddr.word[i];
		pkt->daddr.word[i] = ip->daddr.word[i];
	}
	chain.protocol = ip->next_header;
	if (ipv6_is_extension(chain.protocol)) {
		chain.word = ipv6_walk(ctx, IPV6_L4_OFF, chain.protocol);
		if (!chain.l4_off)
			return DROP_INVALID_EXTHDR;
	}
	pkt->l4.protocol = chain.protocol;
	pkt->l4.fragment = chain.fragment;
	pkt->l4.off = off = chain.l4_off;
	need = l4_need(pkt->l4.protocol);
	if (!need)
		return 0;
	if (pkt->l4.fragment == FRAGMENT_LATER)
		return parse_fragment_v6(pkt, chain.fragment_id);
	l4 = frame_head(ctx, off + need);
	if (!l4)
		return DROP_INVALID;
	/* Checked here, where it is used: the verifier does not know what the walk has checked, and Linux 6.1 forgets. */
	barrier_var(off);
	if (off > IPV6_L4_OFF_MAX || off + need > end)
		return DROP_INVALID;
	l4 += off;
	if ((void *)l4 + 8 > ctx_data_end(ctx))
		return DROP_INVALID;
	if (pkt->l4.protocol == IPPROTO_ICMPV6) {
		parse_icmp_v6(l4, &pkt->l4);
	} else {
		pkt->l4.sport = *(__be16 *)l4;
		pkt->l4.dport = *(__be16 *)(l4 + 2);
		if (pkt->l4.protocol == IPPROTO_TCP) {
			if ((void *)l4 + TCP_MIN_HLEN > ctx_data_end(ctx))
				return DROP_INVALID;
			pkt->l4.tcp_flags = l4[TCP_FLAGS_OFF];
		}
	}
	return pkt->l4.fragment ? parse_fragment_v6(pkt, chain.fragment_id) : 0;
}

/*
 * Reads the packet's headers into `pkt`. 0, or DROP_INVALID, DROP_INVALID_EXTHDR, or DROP_FRAG_NOT_FOUND (then all
 * but the ports is filled in). Invalidates packet pointers.
 */
static __always_inline int parse_v6(struct __sk_buff *ctx, struct pkt_v6 *pkt)
{
	__builtin_memset(pkt, 0, sizeof(*pkt));
	return parse_zeroed_v6(ctx, pkt);
}

#endif
