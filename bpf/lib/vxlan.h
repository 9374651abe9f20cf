// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The tunnel's packets, as they are on the underlay: VXLAN (RFC 7348) over IPv4, as the kernel's device writes it. */
#ifndef __LIB_VXLAN_H
#define __LIB_VXLAN_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/types.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#define VXLAN_FLAGS bpf_htonl(0x08000000)	  /* a VNI is given (RFC 7348, 5) */
#define VXLAN_VNI_RESERVED bpf_htonl(0x000000ff) /* of the word that it is in */

/* In front of the inner IP packet and behind the outer Ethernet header, as on the wire. */
struct vxlan_headers {
	struct iphdr ip;
	struct udphdr udp;
	__be32 flags;
	__be32 vni; /* in its upper 24 bits: the sender's identity */
	struct ethhdr inner;
};

/* What they add to a packet. The struct itself is a little longer. */
#define VXLAN_LEN 50

_Static_assert(__builtin_offsetof(struct vxlan_headers, inner) + ETH_HLEN == VXLAN_LEN, "headers without gaps");

/* The sum of an IPv4 header without options: csum_fold() of it is its checksum, or 0 with the checksum in it. */
static __always_inline __u32 vxlan_ip_sum(const struct iphdr *ip)
{
	const __u16 *words = (const __u16 *)ip;
	__u32 sum = 0;

	for (int i = 0; i < (int)(sizeof(*ip) / sizeof(*words)); i++)
		sum += words[i];
	return sum;
}

#endif
