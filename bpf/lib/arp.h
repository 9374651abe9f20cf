// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The pods' only neighbour. A pod has a /32 and a default route, so all it ever asks for is its gateway; whatever
 * it asks for, the answer is the node's end of its veth pair.
 */
#ifndef __LIB_ARP_H
#define __LIB_ARP_H

#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <waggle/internal/frame.h>
#include "eth.h"
#include "pod.h"
#include "tailcall.h"

/* RFC 826 for Ethernet and IPv4. */
struct arp_ipv4 {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_len;
	__u8 protocol_len;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__be32 sender_ip;
	__u8 target_mac[ETH_ALEN];
	__be32 target_ip;
} __attribute__((packed));

#define ARP_HARDWARE_ETHERNET 1
#define ARP_REQUEST 1
#define ARP_REPLY 2
#define ARP_FRAME_LEN (ETH_HLEN + (__u32)sizeof(struct arp_ipv4))

#define DROP_FILE FILE_ARP

/*
 * Answers in place and sends the frame back into the pod. What is not a question is dropped without a report,
 * announcements and probes for the pod's own address (RFC 5227) included: nobody else lives there.
 */
static __always_inline int arp_respond(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct endpoint_config *self = endpoint_self(st);
	struct mac node, pod;
	struct arp_ipv4 *arp;
	struct ethhdr *eth;
	__be32 asked;

	if (!self)
		return DROP(st, DROP_EP_NOT_READY);
	eth = frame_head(ctx, ARP_FRAME_LEN);
	if (!eth)
		return DROP(st, DROP_INVALID);
	arp = (void *)(eth + 1);
	if (arp->hardware != bpf_htons(ARP_HARDWARE_ETHERNET) || arp->protocol != bpf_htons(ETH_P_IP) ||
	    arp->hardware_len != ETH_ALEN || arp->protocol_len != sizeof(__be32))
		return DROP(st, DROP_INVALID);
	if (arp->operation != bpf_htons(ARP_REQUEST) || arp->target_ip == self->ipv4)
		return TC_ACT_SHOT;
	if (arp->sender_ip != self->ipv4)
		return DROP(st, DROP_INVALID_SIP);

	node = mac_of_u64(self->node_mac);
	pod = mac_load(arp->sender_mac);
	asked = arp->target_ip;
	eth_rewrite(eth, pod, node);
	arp->operation = bpf_htons(ARP_REPLY);
	mac_store(arp->target_mac, pod);
	arp->target_ip = arp->sender_ip;
	mac_store(arp->sender_mac, node);
	arp->sender_ip = asked;
	return bpf_redirect_peer(ctx->ifindex, 0);
}

/* Slot 7 of the pods: ARP from a pod. Called by cil_from_container. */
SEC("tc")
int tail_arp(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, arp_respond(ctx, st)) : TC_ACT_SHOT;
}

#undef DROP_FILE

#endif
