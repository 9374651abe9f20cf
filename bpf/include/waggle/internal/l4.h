// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What a stage knows of a packet: beyond its addresses, alike in both families. PRIVATE to the datapath. */
#ifndef __WAGGLE_INTERNAL_L4_H
#define __WAGGLE_INTERNAL_L4_H

#include <linux/in.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <waggle/internal/addr.h>

#define TCP_MIN_HLEN 20
#define TCP_FLAGS_OFF 13
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define UDP_HLEN 8
#define SCTP_HLEN 12
#define ICMP_HLEN 8

#ifndef IPPROTO_ICMPV6
#define IPPROTO_ICMPV6 58 /* <linux/in6.h> has it, which shall not be dragged in for it */
#endif

#define FRAGMENT_NONE 0
#define FRAGMENT_FIRST 1 /* has the transport header */
#define FRAGMENT_LATER 2 /* has not: ports come from cilium_ipv?_frag_datagrams */

#define ICMP_ECHO_REQUEST_SEEN 1
#define ICMP_ECHO_REPLY_SEEN 2

/*
 * Ports as on the wire. ICMP has none; so that both directions of an echo find the same conntrack entry and policy
 * can tell types apart, with REQUEST being 8 in ICMP and 128 in ICMPv6,
 *   echo request: sport = identifier, dport = REQUEST      echo reply: sport = REQUEST, dport = identifier
 *   any other:    sport = 0,          dport = type
 */
struct pkt_l4 {
	__be16 sport;
	__be16 dport;
	__u8 protocol;
	__u8 tcp_flags;	 /* TCP_*, of the transport header's 14th byte */
	__u8 fragment;	 /* FRAGMENT_* */
	__u8 icmp_error; /* ICMP that quotes another packet (RFC 1122, 3.2.2; RFC 4443, 2.1) */
	__u8 icmp_echo;	 /* ICMP_ECHO_*_SEEN */
	__u16 off;	 /* of the transport header, from the start of the frame */
};

/* What the headers of a packet say. Addresses as on the wire. */
struct pkt_v4 {
	addr_v4 saddr;
	addr_v4 daddr;
	struct pkt_l4 l4;
};

struct pkt_v6 {
	addr_v6 saddr;
	addr_v6 daddr;
	struct pkt_l4 l4;
};

/* Bytes of transport header that a stage may look at. 0: a protocol without a meaning here. */
static __always_inline __u32 l4_need(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return TCP_MIN_HLEN;
	case IPPROTO_SCTP:
		return SCTP_HLEN;
	case IPPROTO_UDP:
		return UDP_HLEN;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return ICMP_HLEN;
	default:
		return 0;
	}
}

static __always_inline _Bool l4_is_icmp(__u8 protocol)
{
	return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

#endif
