// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Out of the tunnel past its device: a packet for a pod of this node loses its outer headers where it comes in, and goes to
 * the pod's programs at once. That saves the way up to the tunnel's socket, and a descriptor that the kernel allocates
 * for each packet of a device in metadata mode and frees much later, hundreds at a time, while other packets wait.
 * Once for each family of what is in the tunnel (family_v4.h), after tunnel_source.h and host.h.
 *
 * The stack's hooks see nothing of such packets: netfilter's rules for what comes in, and IPsec. So it is done only
 * while the agent says that there are none, and it has to go on saying so (waggle_tunnel). What is not plain, or for
 * anybody but a pod, or would be refused, takes the device as ever, and is judged behind it.
 *
 * So does bulk: the device merges what belongs together (GRO), and knows what to do with packets that are merged already
 * (programs cannot take the tunnel's marks from those). Packets of a flow keep their order: after one that has taken the
 * device, all of its flow do for a few ticks of the clock, by when it has long passed.
 */
#include <waggle/internal/branch.h>
#include <waggle/internal/frame.h>
#include "config_host.h"
#include "csum.h"
#include "deliver.h"
#include "ecn.h"
#include "fib.h"
#include "hash.h"
#include "idle.h"
#include "tunnel_control.h"
#include "vxlan.h"

#define DROP_FILE FILE_DECAP_DIRECT

#if IPV == 4
/* linux/bpf.h, since 6.3: what is inside is IPv6. Older kernels refuse the flag, and the packet takes the device. */
#define DECAP_L3_IPV6 (1U << 8)

/* Longer frames are bulk. */
#define DECAP_LEN_MAX 1024
/* What is on the device's queue is taken from it within the same run of the CPU's network interrupts, or at worst the next. */
#define DECAP_BULK_TICKS 3
#define DECAP_FLOW_BITS 8
#define DECAP_NODE_BITS 6

/* Do packets to a node leave where its packets come in? Good for one tick of the clock: routes change without telling us. */
struct decap_node {
	__u64 tick;
	__be32 node;
	__u32 ifindex; /* that packets to it leave by; 0: none */
};

/* In one record, as in whereabouts.h; for programs of network devices alone, as there. */
struct decap_nodes {
	struct decap_node of[1 << DECAP_NODE_BITS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct decap_nodes);
} wg_decap_nodes SEC(".maps");

/* Until which tick flows take the device, by their hash. For all CPUs: a flow's packets may be received by several. */
struct decap_bulk {
	__u64 until[1 << DECAP_FLOW_BITS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct decap_bulk);
} wg_decap_bulk SEC(".maps");

/* Until which tick a flow, from this port of a node, takes the device. NULL cannot be, but the verifier wants it handled. */
static __always_inline volatile __u64 *decap_flow(__be32 node, __be16 sport)
{
	__u64 hash = hash_mix(0, (__u64)node << 16 | sport);
	__u32 zero = 0;
	struct decap_bulk *bulk = bpf_map_lookup_elem(&wg_decap_bulk, &zero);

	return bulk ? &bulk->until[hash >> (64 - DECAP_FLOW_BITS)] : (void *)0;
}

static __always_inline __u32 decap_find_route(struct __sk_buff *ctx, __be32 node)
{
	struct bpf_fib_lookup fib = {
		.family = FIB_AF_INET,
		.l4_protocol = IPPROTO_UDP,
		.ifindex = FIB_FROM_NODE,
		.ipv4_src = cfg_node_ipv4,
		.ipv4_dst = node,
	};
	long ret = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);

	return !ret || ret == BPF_FIB_LKUP_RET_NO_NEIGH ? fib.ifindex : 0;
}

/* Is the packet from where packets to its sender would go? Who is elsewhere can then not borrow a node's address. */
static __always_inline _Bool decap_is_from_there(struct __sk_buff *ctx, __be32 node)
{
	__u64 tick = bpf_jiffies64();
	__u32 zero = 0;
	struct decap_nodes *nodes = bpf_map_lookup_elem(&wg_decap_nodes, &zero);
	struct decap_node *memo;

	if (!nodes)
		return 0;
	memo = &nodes->of[hash_mix(0, node) >> (64 - DECAP_NODE_BITS)];
	if (memo->tick != tick || memo->node != node) {
		memo->tick = tick;
		memo->node = node;
		memo->ifindex = decap_find_route(ctx, node);
	}
	return memo->ifindex == ctx->ifindex;
}

/*
 * Are the headers what the stack and the tunnel's device would take without a further look? `outer` is known to be without
 * options, whole, and at the tunnel's port (encap_is_plain()).
 */
static __always_inline _Bool decap_is_sound(const struct __sk_buff *ctx, const struct vxlan_headers *outer)
{
	__u16 len = bpf_ntohs(outer->ip.tot_len);
	__u8 ecn = outer->ip.tos & ECN_MASK;

	if (len != ctx->len - ETH_HLEN || bpf_ntohs(outer->udp.len) != len - sizeof(outer->ip))
		return 0;
	/* A checksum over UDP is the stack's to check, and so is what congestion outside means inside (RFC 6040). */
	if (outer->udp.check || (ecn != 0 && ecn != ECN_ECT_0) || csum_fold(vxlan_ip_sum(&outer->ip)))
		return 0;
	return outer->flags == VXLAN_FLAGS && !(outer->vni & VXLAN_VNI_RESERVED) && outer->vni;
}

static __always_inline _Bool decap_is_allowed(void)
{
	__u32 zero = 0;
	const struct tunnel_control *control = bpf_map_lookup_elem(&waggle_tunnel, &zero);

	return control && bpf_ktime_get_coarse_ns() < *(const volatile __u64 *)&control->receive_until_ns;
}

/*
 * The headers that are to be taken from the packet, which is at the tunnel's port and has plain ones (encap_is_plain()); NULL
 * where that is the stack's to do.
 */
static __always_inline const struct vxlan_headers *decap_outer(struct __sk_buff *ctx)
{
	const struct vxlan_headers *outer;
	__u64 tick = bpf_jiffies64();
	volatile __u64 *until;
	void *data;

	/* Frames that others send here, and those of a VLAN, are nothing for a short way. */
	if (!decap_is_allowed() || ctx->pkt_type != PACKET_HOST || ctx->vlan_present)
		return (void *)0;
	data = frame_head(ctx, ETH_HLEN + sizeof(*outer));
	if (!data)
		return (void *)0;
	outer = data + ETH_HLEN;
	until = decap_flow(outer->ip.saddr, outer->udp.source);
	if (!until)
		return (void *)0;
	if (ctx->gso_size || ctx->len > DECAP_LEN_MAX || !decap_is_sound(ctx, outer)) {
		if (*until != tick + DECAP_BULK_TICKS) /* once a tick: CPUs share the line */
			*until = tick + DECAP_BULK_TICKS;
		return (void *)0;
	}
	return *until < tick && decap_is_from_there(ctx, outer->ip.saddr) ? outer : (void *)0;
}

/* What is inside: its addresses, if it goes on from here. */
static __always_inline _Bool decap_inner_v4(const struct iphdr *ip, struct addresses_v4 *addresses)
{
	addresses->saddr = ip->saddr;
	addresses->daddr = ip->daddr;
	return *(const __u8 *)ip >> 4 == 4 && ip->ttl > 1;
}

/* The outer Ethernet header, which becomes the inner one, says so already. */
static __always_inline int decap_ethertype_v4(struct __sk_buff *ctx __attribute__((unused)))
{
	return 0;
}

#define DECAP_INNER struct iphdr
#define DECAP_FLAGS BPF_F_ADJ_ROOM_NO_CSUM_RESET
#else
static __always_inline _Bool decap_inner_v6(const struct ipv6_header *ip, struct addresses_v6 *addresses)
{
	addresses->saddr = ip->saddr;
	addresses->daddr = ip->daddr;
	return *(const __u8 *)ip >> 4 == 6 && ip->hop_limit > 1;
}

static __always_inline int decap_ethertype_v6(struct __sk_buff *ctx)
{
	struct ethhdr *eth = frame_head(ctx, ETH_HLEN);

	if (!eth)
		return DROP_INVALID;
	eth->h_proto = bpf_htons(ETH_P_IPV6);
	return 0;
}

#define DECAP_INNER struct ipv6_header
#define DECAP_FLAGS (BPF_F_ADJ_ROOM_NO_CSUM_RESET | DECAP_L3_IPV6)
#endif

/* Takes the packet out of the tunnel and to its pod; 0: that is the stack's to do, and nothing has been changed. */
static __always_inline int F(decap_to_pod)(struct __sk_buff *ctx, __be32 node, __u32 identity)
{
	const void *data = frame_head(ctx, ETH_HLEN + VXLAN_LEN + sizeof(DECAP_INNER));
	struct F(addresses) ip;
	struct pod_place pod;
	struct pkt_state *st;
	int ret;

	if (!nobody_at(IDLE_OVERLAY, HOOK_SLOT(from_overlay)) || !data ||
	    !F(decap_inner)(data + ETH_HLEN + VXLAN_LEN, &ip) || F(tunnel_check_source)(node, identity, ip.saddr) ||
	    F(who_is_here)(ip.daddr, &pod) != HERE_POD)
		return 0;
	st = state_get();
	if (!st || bpf_skb_adjust_room(ctx, -VXLAN_LEN, BPF_ADJ_ROOM_MAC, DECAP_FLAGS))
		return 0;
	bpf_csum_level(ctx, BPF_CSUM_LEVEL_DEC); /* the hardware's word on checksums is about the outer one first */
	state_reset(ctx, st, DIR_INGRESS);
	st->src_identity = identity;
	st->tunnel_ipv4 = node;
	ret = F(decap_ethertype)(ctx);
	if (!ret)
		ret = F(l3_forward)(ctx, mac_of_u64(pod.mac), mac_of_u64(pod.node_mac));
	if (ret < 0)
		return finish(ctx, st, DROP(st, ret));
	return finish(ctx, st, DELIVER_TO(ctx, st, pod.id, pod.identity));
}

#undef DECAP_INNER
#undef DECAP_FLAGS
#undef DROP_FILE
