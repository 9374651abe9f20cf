// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The pods' only neighbour in IPv6, as arp.h is in IPv4: whatever a pod asks for, the answer is the node's end of its
 * veth pair (RFC 4861).
 */
#ifndef __LIB_NDP_H
#define __LIB_NDP_H

#include <linux/pkt_cls.h>
#include "eth.h"
#include "icmp_v6.h"
#include "l3_v6.h"
#include "pod.h"
#include "tailcall.h"

/* RFC 4861, 4; RFC 2710, 3; RFC 3810, 5. */
#define ICMPV6_MLD_QUERY 130
#define ICMPV6_MLD_DONE 132
#define ICMPV6_ROUTER_SOLICIT 133
#define ICMPV6_NEIGHBOUR_SOLICIT 135
#define ICMPV6_NEIGHBOUR_ADVERT 136
#define ICMPV6_REDIRECT 137
#define ICMPV6_MLD2_REPORT 143

#define NDP_HOP_LIMIT 255 /* proves that no router was on the way */
#define NDP_OPTION_TARGET_MAC 2
#define NDP_SOLICITED_OVERRIDE bpf_htonl(0x60000000)

/* A neighbour solicitation without options, or an advertisement up to its option. */
struct ndp_message {
	__u8 type;
	__u8 code;
	__u16 check;
	__be32 flags;
	addr_v6 target;
} __attribute__((packed, aligned(4)));

struct ndp_advert {
	struct ndp_message message;
	__u8 option;
	__u8 option_len; /* in units of 8 bytes */
	__u8 mac[ETH_ALEN];
} __attribute__((packed, aligned(4)));

#define NDP_FRAME_LEN (IPV6_L4_OFF + (__u32)sizeof(struct ndp_message))
#define NDP_ADVERT_LEN (IPV6_L4_OFF + (__u32)sizeof(struct ndp_advert))

#define DROP_FILE FILE_NDP

static __always_inline _Bool ndp_is_type(__u8 type)
{
	return type >= ICMPV6_ROUTER_SOLICIT && type <= ICMPV6_REDIRECT;
}

/*
 * Is this the talk of a link: neighbour discovery, or of groups with a router? Kept off the pod's pipeline, both ways.
 * Reports to a group come behind a hop-by-hop header, to addresses of the link (ff02::/16).
 */
static __always_inline _Bool ndp_is_link_talk(struct __sk_buff *ctx)
{
	const struct ipv6_header *ip = ip_header_v6(ctx);
	const __u8 *type;

	if (!ip)
		return 0;
	if (ip->next_header == IPV6_EXT_HOP_BY_HOP)
		return (ip->daddr.word[0] & bpf_cpu_to_be64(0xffff000000000000)) ==
		       bpf_cpu_to_be64(0xff02000000000000);
	if (ip->next_header != IPPROTO_ICMPV6)
		return 0;
	type = frame_head(ctx, IPV6_L4_OFF + 1);
	if (!type)
		return 0;
	type += IPV6_L4_OFF;
	return ndp_is_type(*type) || (*type >= ICMPV6_MLD_QUERY && *type <= ICMPV6_MLD_DONE) ||
	       *type == ICMPV6_MLD2_REPORT;
}

/*
 * Is this the node's own talk of the link, for the pod's stack? No router was on the way of it: the sender is the
 * stack on the node's end of the veth pair, for pods' own talk goes nowhere.
 */
static __always_inline _Bool ndp_is_from_link(struct __sk_buff *ctx)
{
	const struct ipv6_header *ip = ip_header_v6(ctx);

	if (!ip || (ip->hop_limit != NDP_HOP_LIMIT && !is_to_many_v6(ip->daddr)))
		return 0;
	return ndp_is_link_talk(ctx);
}

/*
 * Answers a pod's solicitation in place and sends the frame back into the pod. Nobody else lives on the link: probes
 * for an address before it is used (RFC 4862) and questions for the pod's own stay without an answer, and what is no
 * question is dropped without a report.
 */
static __always_inline int ndp_respond(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct endpoint_config *self = endpoint_self(st);
	struct ndp_advert advert = {
		.message = {.type = ICMPV6_NEIGHBOUR_ADVERT, .flags = NDP_SOLICITED_OVERRIDE},
		.option = NDP_OPTION_TARGET_MAC,
		.option_len = 1,
	};
	struct ipv6_header ip = {};
	const struct ndp_message *asked;
	const struct ethhdr *eth;
	struct mac node, pod;
	__s64 sum;

	if (!self)
		return DROP(st, DROP_EP_NOT_READY);
	eth = frame_head(ctx, NDP_FRAME_LEN);
	if (!eth)
		return TC_ACT_SHOT; /* a router solicitation is shorter */
	__builtin_memcpy(&ip, eth + 1, sizeof(ip));
	asked = (const void *)eth + IPV6_L4_OFF;
	if (ip.next_header != IPPROTO_ICMPV6 || asked->type != ICMPV6_NEIGHBOUR_SOLICIT)
		return TC_ACT_SHOT;
	if (ip.hop_limit != NDP_HOP_LIMIT || asked->code || is_to_many_v6(asked->target))
		return DROP(st, DROP_INVALID);
	advert.message.target = asked->target;
	node = mac_of_u64(self->node_mac);
	pod = mac_load(eth->h_source);
	if ((!ip.saddr.word[0] && !ip.saddr.word[1]) || addr_equal_v6(asked->target, self->ipv6) ||
	    addr_equal_v6(asked->target, ip.saddr))
		return TC_ACT_SHOT;
	for (int i = 0; i < ETH_ALEN; i++) /* the stack is read in aligned words only, and this is not at one */
		advert.mac[i] = (__u8)(self->node_mac >> (8 * i));
	sum = icmp_checksum_v6(advert.message.target, ip.saddr, sizeof(advert), &advert, sizeof(advert));
	if (sum < 0)
		return DROP(st, DROP_CSUM_L4);
	advert.message.check = csum_fold((__u32)sum);
	ip.daddr = ip.saddr;
	ip.saddr = advert.message.target;
	ip.payload_len = bpf_htons(sizeof(advert));

	if (bpf_skb_change_tail(ctx, NDP_ADVERT_LEN, 0) ||
	    bpf_skb_store_bytes(ctx, IPV6_OFF, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM) ||
	    bpf_skb_store_bytes(ctx, IPV6_L4_OFF, &advert, sizeof(advert), BPF_F_RECOMPUTE_CSUM) ||
	    eth_forward(ctx, pod, node))
		return DROP(st, DROP_WRITE_ERROR);
	return bpf_redirect_peer(ctx->ifindex, 0);
}

/* Slot 39 of the pods: talk of the link from a pod. Called by cil_from_container. */
SEC("tc")
int tail_ndp(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, ndp_respond(ctx, st)) : TC_ACT_SHOT;
}

#undef DROP_FILE

#endif
