// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Writing a Waggle plugin: the only header a plugin needs.
 *
 *	#include <waggle/plugin.h>
 *
 *	HOOK(to_container_pre_ct_v4)
 *	{
 *		if (waggle_src_identity(ctx) == WAGGLE_IDENTITY_WORLD)
 *			return HOOK_DROP;
 *		return HOOK_NEXT;
 *	}
 *
 * The file is hooks/lxc.c for the hook points of pods (from_container_*, to_container_*), hooks/host.c for those
 * of node devices and the host (from_netdev_v4, to_netdev_v4, from_host_v4, to_host_v4), and hooks/overlay.c for
 * those of the tunnel to other nodes (from_overlay_v4, to_overlay_v4); each of them has a twin ending in _v6;
 * plugin.yaml lists the hook points that the plugin implements. The agent compiles it with
 *
 *	clang -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror -I bpf/include
 *
 * and loads one instance for all pods, and one for each device of the node. Kernel headers under <linux/> and libbpf's
 * <bpf/bpf_helpers.h> and <bpf/bpf_endian.h> are at hand; everything under <waggle/internal/> is not part
 * of the interface and changes without notice.
 *
 * State. Keep it in maps, declared as usual (SEC(".maps")). A map belongs to the plugin, is shared by all
 * its instances, and survives relinking and restarts of the agent. Names that begin with wg_,
 * cilium_ or waggle_ are reserved. What belongs to a pod goes into a map by waggle_endpoint_id(). Global
 * variables are refused: each instance would have its own, and a change of any chain, which loads the plugin
 * anew, would set them back to where they began.
 *
 * The stack. A program may use 448 bytes: of the kernel's 512, HOOK() needs the rest to report a drop.
 *
 * The packet's control block. ctx->cb[0] to [2] are the plugin's while it runs; [3] and [4] are reserved: the stages
 * know by them what they have read, and counters where their place is. A plugin that is seen to store there is refused.
 *
 * Rewriting packets. Rewrite addresses and ports only before the conntrack stage (…_pre_service_v4,
 * …_pre_ct_v4, from_netdev_v4, from_host_v4); later the connection is known by its old name. Use the
 * bpf_l3_csum_replace() and bpf_l4_csum_replace() helpers to keep checksums right. Behind a program that rewrites
 * packets, in any way, the headers are read again; the agent finds out which do by their instructions. One that only
 * reads costs less: it stores to no packet pointer, and calls no helper but those that read (maps, clocks, lookups,
 * bpf_skb_load_bytes(), bpf_skb_pull_data(), bpf_redirect(), records and the like).
 *
 * Stable: all names here that begin with HOOK, PLUGIN_CONFIG, WAGGLE_ or waggle_.
 */
#ifndef __WAGGLE_PLUGIN_H
#define __WAGGLE_PLUGIN_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <waggle/hooks.h>
#include <waggle/internal/ipcache.h>
#include <waggle/internal/parse_v4.h>
#include <waggle/internal/parse_v6.h>
#include <waggle/internal/report.h>
#include <waggle/internal/self.h>
#include <waggle/internal/state.h>
#include <waggle/internal/hook.h>

/* ------------------------------------------------------------------ verdicts */

/*
 * What a hook returns.
 *
 * HOOK_NEXT      go on with the next plugin, or with the stage that follows.
 * HOOK_PASS      leave the pipeline and give the packet to the kernel's stack as it is (TC_ACT_OK). At pods'
 *                ingress hooks this need not reach the pod: prefer HOOK_NEXT.
 * HOOK_DROP      drop it. Counted and reported as "dropped by plugin" (220).
 * HOOK_REDIRECT  the packet's fate is what bpf_redirect() and its kin have arranged:
 *                `return bpf_redirect(ifindex, 0);` is fine.
 *
 * Any other value drops the packet and is counted as "other".
 */
#define HOOK_NEXT (-1)
#define HOOK_PASS TC_ACT_OK
#define HOOK_DROP TC_ACT_SHOT
#define HOOK_REDIRECT TC_ACT_REDIRECT

/* ------------------------------------------------------------------ hooks */

/*
 * Defines the plugin's program for a hook point. The body sees the packet as `struct __sk_buff *ctx`.
 * At most one for each hook point and file.
 */
#define HOOK(name) WAGGLE_DEFINE_HOOK(name)

/* ------------------------------------------------------------------ configuration */

/*
 * PLUGIN_CONFIG(__u32, sample_rate, 100);
 *
 * Declares a value that operators may set: `config:` of plugin.yaml gives its type, default and bounds, and
 * the agent checks values against it. The value is constant for the verifier, so a branch on a feature that is
 * off costs nothing. Changing it relinks the plugin without losing a packet.
 */
#define PLUGIN_CONFIG(type, name, default_value) \
	const volatile type plugin_cfg_##name SEC(".rodata.config") = default_value

/* PLUGIN_CONFIG_GET(sample_rate): the value. */
#define PLUGIN_CONFIG_GET(name) (plugin_cfg_##name)

/* ------------------------------------------------------------------ where am I */

/*
 * All pods share a hook's program: which of them the packet is on its way from (from_container_*) or to
 * (to_container_*) is asked packet by packet. At the hooks of the node and of the tunnel there is no pod, and the
 * answers are 0. Each takes a few instructions.
 */

/* Reserved identities. Pods have 256 and up. */
#define WAGGLE_IDENTITY_HOST IDENTITY_HOST
#define WAGGLE_IDENTITY_WORLD IDENTITY_WORLD
#define WAGGLE_IDENTITY_REMOTE_NODE IDENTITY_REMOTE_NODE

/* Id of the pod's endpoint: the number in the API, from 1 to 65535. */
static __always_inline __u16 waggle_endpoint_id(struct __sk_buff *ctx __attribute__((unused)))
{
	const struct pkt_state *st = state_get();

	return st ? st->endpoint_id : 0;
}

/* What follows asks this. Entry 0 of the table is always empty. */
static __always_inline const struct endpoint_config *
waggle_endpoint_config(struct __sk_buff *ctx __attribute__((unused)))
{
	const struct pkt_state *st = state_get();

	return st ? endpoint_self(st) : (void *)0;
}

/* Identity of the pod. */
static __always_inline __u32 waggle_endpoint_identity(struct __sk_buff *ctx)
{
	const struct endpoint_config *pod = waggle_endpoint_config(ctx);

	return pod ? pod->identity : 0;
}

/* Index of the pod's device on the node, as for `bpf_redirect_peer(waggle_endpoint_ifindex(ctx), 0)`. */
static __always_inline __u32 waggle_endpoint_ifindex(struct __sk_buff *ctx)
{
	const struct endpoint_config *pod = waggle_endpoint_config(ctx);

	return pod ? pod->ifindex : 0;
}

/* IPv4 address of the pod; 0 too for a pod without. */
static __always_inline __be32 waggle_endpoint_ipv4(struct __sk_buff *ctx)
{
	const struct endpoint_config *pod = waggle_endpoint_config(ctx);

	return pod ? pod->ipv4 : 0;
}

/* IPv6 address of the pod into `address`: all zero too for a pod without. */
static __always_inline void waggle_endpoint_ipv6(struct __sk_buff *ctx, struct in6_addr *address)
{
	const struct endpoint_config *pod = waggle_endpoint_config(ctx);
	addr_v6 ip = {};

	if (pod)
		ip = pod->ipv6;
	__builtin_memcpy(address, &ip, sizeof(*address));
}

/*
 * Index of the device at which the packet is: that of the pod whose packet it is, a node device, cilium_host or
 * cilium_vxlan. At ingress hooks of pods, where the packet came from rather than where it goes.
 */
static __always_inline __u32 waggle_ifindex(struct __sk_buff *ctx)
{
	return ctx->ifindex;
}

#define WAGGLE_INGRESS DIR_INGRESS
#define WAGGLE_EGRESS DIR_EGRESS

/* WAGGLE_INGRESS or WAGGLE_EGRESS, as the pod sees it; at the host's hooks, towards pods is ingress. */
static __always_inline int waggle_direction(struct __sk_buff *ctx __attribute__((unused)))
{
	const struct pkt_state *st = state_get();

	return st ? st->direction : 0;
}

/* ------------------------------------------------------------------ the packet */

#define WAGGLE_L4_OFF_MAX IPV6_L4_OFF_MAX

/* Length of the packet in bytes, Ethernet header included. More than the MTU for segments to be split. */
static __always_inline __u32 waggle_packet_len(struct __sk_buff *ctx)
{
	return ctx->len;
}

/*
 * The IPv4 header (its 20 fixed bytes are readable) or NULL when the frame is not IPv4. `data_end` is set to
 * the end of what may be accessed directly: compare against it before reading further,
 *
 *	void *end;
 *	struct iphdr *ip = waggle_ipv4(ctx, &end);
 *	struct udphdr *udp = ip ? (void *)ip + ip->ihl * 4 : NULL;
 *	if (!udp || (void *)(udp + 1) > end) …
 *
 * or use waggle_l4(). Helpers that change the packet, and waggle_tuple4(), invalidate the pointers.
 */
static __always_inline struct iphdr *waggle_ipv4(struct __sk_buff *ctx, void **data_end)
{
	struct iphdr *ip;

	if (ctx->protocol != bpf_htons(ETH_P_IP))
		return (void *)0;
	ip = ip_header_v4(ctx);
	*data_end = ctx_data_end(ctx);
	if (!ip || (void *)(ip + 1) > *data_end)
		return (void *)0;
	return ip;
}

/* The same for IPv6: its 40 fixed bytes. What is behind them may be an extension header; waggle_l4() skips those. */
static __always_inline struct ipv6hdr *waggle_ipv6(struct __sk_buff *ctx, void **data_end)
{
	void *ip;

	if (ctx->protocol != bpf_htons(ETH_P_IPV6))
		return (void *)0;
	ip = ip_header_v6(ctx);
	*data_end = ctx_data_end(ctx);
	if (!ip || ip + IPV6_HLEN > *data_end)
		return (void *)0;
	return ip;
}

/*
 * The first `len` (a constant) bytes of the transport header of an IP packet, behind options or extension headers if
 * there are any, or NULL when it has not so many or is a later fragment.
 */
static __always_inline void *waggle_l4(struct __sk_buff *ctx, __u32 len)
{
	__u32 off = ctx->protocol == bpf_htons(ETH_P_IPV6) ? l4_offset_v6(ctx) : l4_offset_v4(ctx);
	void *l4;

	if (!off)
		return (void *)0;
	l4 = frame_head(ctx, off + len);
	if (!l4)
		return (void *)0;
	barrier_var(off); /* or the compiler drops the check that the verifier needs, here and not before */
	if (off > WAGGLE_L4_OFF_MAX)
		return (void *)0;
	l4 += off;
	return l4 + len <= ctx_data_end(ctx) ? l4 : (void *)0;
}

/* Addresses and ports of an IPv4 packet in network order. For ICMP echo, the identifier and 8 stand for the ports. */
struct waggle_tuple4 {
	__be32 saddr;
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	__u8 protocol; /* IPPROTO_* */
};

/*
 * Reads the packet's tuple as it is now (so after translation by earlier stages or plugins). 0, or -1 when
 * the packet is malformed. Ports are 0 for protocols without and for fragments whose first one was not
 * seen. Invalidates packet pointers.
 */
static __always_inline int waggle_tuple4(struct __sk_buff *ctx, struct waggle_tuple4 *tuple)
{
	struct pkt_v4 pkt;
	int ret = parse_v4(ctx, &pkt);

	if (ret && ret != DROP_FRAG_NOT_FOUND)
		return -1;
	tuple->saddr = pkt.saddr;
	tuple->daddr = pkt.daddr;
	tuple->sport = pkt.l4.sport;
	tuple->dport = pkt.l4.dport;
	tuple->protocol = pkt.l4.protocol;
	return 0;
}

/* The same of IPv6. For ICMPv6 echo, the identifier and 128 stand for the ports. */
struct waggle_tuple6 {
	struct in6_addr saddr;
	struct in6_addr daddr;
	__be16 sport;
	__be16 dport;
	__u8 protocol; /* IPPROTO_*: what is behind the extension headers */
};

static __always_inline int waggle_tuple6(struct __sk_buff *ctx, struct waggle_tuple6 *tuple)
{
	struct pkt_v6 pkt;
	int ret = parse_v6(ctx, &pkt);

	if (ret && ret != DROP_FRAG_NOT_FOUND)
		return -1;
	__builtin_memcpy(&tuple->saddr, &pkt.saddr, sizeof(tuple->saddr));
	__builtin_memcpy(&tuple->daddr, &pkt.daddr, sizeof(tuple->daddr));
	tuple->sport = pkt.l4.sport;
	tuple->dport = pkt.l4.dport;
	tuple->protocol = pkt.l4.protocol;
	return 0;
}

/* ------------------------------------------------------------------ what the core knows */

/*
 * Identity of the sender: a number that stands for its labels. Known for packets of pods of this node, and for those
 * from other nodes; otherwise it is looked up by address, which is a longest-prefix match: ask once.
 */
static __always_inline __u32 waggle_src_identity(struct __sk_buff *ctx)
{
	const struct pkt_state *st = state_get();
	struct addresses_v6 ip6;
	struct addresses_v4 ip4;

	if (st && st->src_identity)
		return st->src_identity;
	if (ctx->protocol == bpf_htons(ETH_P_IPV6))
		return addresses_load_v6(ctx, &ip6) ? IDENTITY_UNKNOWN : identity_of_v6(ip6.saddr);
	return addresses_load_v4(ctx, &ip4) ? IDENTITY_UNKNOWN : identity_of_v4(ip4.saddr);
}

/* Identity of the destination as the packet is now: before the service stage, that of a service address. */
static __always_inline __u32 waggle_dst_identity(struct __sk_buff *ctx)
{
	const struct pkt_state *st = state_get();
	struct addresses_v6 ip6;
	struct addresses_v4 ip4;

	if (st && st->dst_identity)
		return st->dst_identity;
	if (ctx->protocol == bpf_htons(ETH_P_IPV6))
		return addresses_load_v6(ctx, &ip6) ? IDENTITY_UNKNOWN : identity_of_v6(ip6.daddr);
	return addresses_load_v4(ctx, &ip4) ? IDENTITY_UNKNOWN : identity_of_v4(ip4.daddr);
}

/* What conntrack knows of the connection. UNKNOWN at hooks before the conntrack stage and of the host. */
#define WAGGLE_CT_UNKNOWN CT_STATE_UNKNOWN
#define WAGGLE_CT_NEW CT_STATE_NEW
#define WAGGLE_CT_ESTABLISHED CT_STATE_ESTABLISHED
#define WAGGLE_CT_REPLY CT_STATE_REPLY
#define WAGGLE_CT_RELATED CT_STATE_RELATED /* an ICMP error about a known connection */

static __always_inline int waggle_ct_state(struct __sk_buff *ctx __attribute__((unused)))
{
	const struct pkt_state *st = state_get();

	return st ? st->ct_state : CT_STATE_UNKNOWN;
}

char waggle_license[] SEC("license") = "Dual BSD/GPL";

#endif
