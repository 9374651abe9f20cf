// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Into the tunnel past its device: the packet gets the headers that cilium_vxlan would give it here, and leaves at once on
 * the device that the route to the other node names. That saves the second way through the stack, with a look-up of
 * the route for every packet. Once for each family of what is in the tunnel (family_v4.h), after encap.h.
 *
 * The stack's hooks see nothing of such packets: netfilter's rules for what the node sends, and IPsec. So it is done
 * only while the agent says that there is no IPsec, and it has to go on saying so (waggle_tunnel). Whatever is not
 * plain goes through the device as ever: packets that must be cut, neighbours nobody has spoken to, plugins on the tunnel.
 */
#include "config_lxc.h"
#include "csum.h"
#include "encap.h"
#include "eth.h"
#include "fib.h"
#include "hash.h"
#include "idle.h"
#include "mark.h"
#include "tunnel_control.h"
#include "vxlan.h"

#if IPV == 4
/* Source ports of tunnels: what the kernel's device takes from where ip_local_port_range is as it comes. */
#define ENCAP_SPORT_MIN 32768
#define ENCAP_SPORT_MAX 60999

/* The way to another node, good for one tick of the clock: routes change without telling us. */
struct encap_route {
	__u64 tick;
	__be32 node;
	__be32 next_hop;
	__u32 ifindex; /* 0: through the device */
	__u16 sport;   /* routes may have several next hops, and ports say which */
	__u16 mtu;
};

#define ENCAP_ROUTE_BITS 8

/* In one record, as in whereabouts.h; for programs of network devices alone, as there. */
struct encap_routes {
	struct encap_route of[1 << ENCAP_ROUTE_BITS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct encap_routes);
} wg_encap_routes SEC(".maps");

static __always_inline _Bool encap_may_be_direct(void)
{
	__u32 zero = 0;
	const struct tunnel_control *control = bpf_map_lookup_elem(&waggle_tunnel, &zero);

	return control && bpf_ktime_get_coarse_ns() < *(const volatile __u64 *)&control->transmit_until_ns;
}

/* Asks for the way that is in `route`. The neighbour is not asked for, but one that nobody knows is the stack's to find. */
static __always_inline void encap_find_route(struct __sk_buff *ctx, struct encap_route *route)
{
	struct bpf_fib_lookup fib = {
		.family = FIB_AF_INET,
		.l4_protocol = IPPROTO_UDP,
		.sport = bpf_htons(route->sport),
		.dport = bpf_htons(cfg_tunnel_port),
		.tot_len = 1, /* asks for the MTU */
		.ifindex = FIB_FROM_NODE,
		.ipv4_src = cfg_node_ipv4,
		.ipv4_dst = route->node,
	};

	route->ifindex = 0;
	if (!encap_may_be_direct() || bpf_fib_lookup(ctx, &fib, sizeof(fib), 0))
		return;
	/* A gateway of the other family is left to the stack. */
	if (fib.family != FIB_AF_INET || fib.ifindex == cfg_tunnel_ifindex)
		return;
	route->next_hop = fib.ipv4_dst;
	route->mtu = fib.mtu_result;
	route->ifindex = fib.ifindex;
}

/* The way to a node from a source port, or NULL when it leads through the device. */
static __always_inline const struct encap_route *encap_route(struct __sk_buff *ctx, __be32 node, __u16 sport)
{
	__u64 hash = hash_mix(0, (__u64)node << 16 | sport), tick = bpf_jiffies64();
	__u32 zero = 0;
	struct encap_routes *routes = bpf_map_lookup_elem(&wg_encap_routes, &zero);
	struct encap_route *route;

	if (!routes)
		return (void *)0;
	route = &routes->of[hash >> (64 - ENCAP_ROUTE_BITS)];
	if (route->tick != tick || route->node != node || route->sport != sport) {
		route->tick = tick;
		route->node = node;
		route->sport = sport;
		encap_find_route(ctx, route);
	}
	return route->ifindex ? route : (void *)0;
}

/* One of a flow's own, so that what is in the way can tell flows apart; as the kernel's device does (udp_flow_src_port). */
static __always_inline __u16 encap_sport(struct __sk_buff *ctx)
{
	__u32 hash = bpf_get_hash_recalc(ctx);

	hash ^= hash << 16;
	return ENCAP_SPORT_MIN + (__u16)(((__u64)hash * (ENCAP_SPORT_MAX - ENCAP_SPORT_MIN)) >> 32);
}

/* Fills in the outer IP header, and its checksum. `len` of the outer packet; `ecn` as RFC 6040 wants it outside. */
static __always_inline void encap_ip(struct iphdr *ip, __be32 node, __u16 len, __u8 ecn)
{
	*(__u8 *)ip = 0x45;
	ip->tos = ecn;
	ip->tot_len = bpf_htons(len);
	ip->id = 0;
	ip->frag_off = bpf_htons(IPV4_DONT_FRAGMENT); /* so it needs no id of its own (RFC 6864, 4.1) */
	ip->ttl = ENCAP_TTL;
	ip->protocol = IPPROTO_UDP;
	ip->check = 0;
	ip->saddr = cfg_node_ipv4;
	ip->daddr = node;
	ip->check = csum_fold(vxlan_ip_sum(ip));
}

/* Fills in all but the source port. `inner_ecn`: what the packet says of congestion. */
static __always_inline void encap_fill(const struct __sk_buff *ctx, struct vxlan_headers *headers, __be32 node,
				       __u32 identity, __u16 len, __u8 inner_ecn)
{
	struct mac mac = MAC_OF(cfg_host_mac);

	headers->udp.dest = bpf_htons(cfg_tunnel_port);
	headers->udp.len = bpf_htons(len - (__u16)sizeof(headers->ip));
	headers->udp.check = 0; /* over IPv4 none is needed: what is inside has its own (RFC 7348, 5) */
	headers->flags = VXLAN_FLAGS;
	headers->vni = bpf_htonl(identity << 8);
	/* Tunnels do not look at the frame's addresses, but they must be some. */
	__builtin_memcpy(headers->inner.h_dest, &mac, ETH_ALEN);
	__builtin_memcpy(headers->inner.h_source, &mac, ETH_ALEN);
	headers->inner.h_proto = ctx->protocol;
	encap_ip(&headers->ip, node, len, inner_ecn == ECN_CE ? ECN_ECT_0 : inner_ecn);
}
#endif

/* Does the way take the packet as it is, in one piece, or in those that it will be cut into anyway? */
static __always_inline _Bool F(encap_fits)(struct __sk_buff *ctx, const struct encap_route *route, __u32 len)
{
	if (len > 0xffff)
		return 0;
	if (!ctx->gso_size)
		return len <= route->mtu;
	/* Those have been seen to be no longer than what the tunnel takes, unless routers may cut them. */
	return cfg_tunnel_mtu && route->mtu >= cfg_tunnel_mtu + VXLAN_LEN &&
	       !F(may_fragment)(ctx);
}

/*
 * Sends the packet to `node`, whose address this is on the underlay, and says who it is from. The verdict to return;
 * 0 when it has to go through the device, and nothing has been changed; or DROP_WRITE_ERROR.
 */
static __always_inline int F(encap_direct)(struct __sk_buff *ctx, __be32 node, __u32 identity)
{
	__u32 len = ctx->len - ETH_HLEN + VXLAN_LEN;
	struct bpf_redir_neigh next = {.nh_family = FIB_AF_INET};
	const struct encap_route *route;
	struct vxlan_headers headers = {};
	__u16 sport;

	if (!nobody_at(IDLE_OVERLAY, HOOK_SLOT(to_overlay)))
		return 0;
	sport = encap_sport(ctx);
	route = encap_route(ctx, node, sport);
	if (!route || !F(encap_fits)(ctx, route, len))
		return 0;
	next.ipv4_nh = route->next_hop;
	headers.udp.source = bpf_htons(sport);
	encap_fill(ctx, &headers, node, identity, len, F(l3_ecn)(ctx));
	/* Refused for what cannot be in a tunnel that is not the kernel's own, such as another tunnel. */
	if (bpf_skb_adjust_room(ctx, VXLAN_LEN, BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 |
					BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2(ETH_HLEN) |
					BPF_F_ADJ_ROOM_ENCAP_L2_ETH))
		return 0;
	if (bpf_skb_store_bytes(ctx, ETH_HLEN, &headers, VXLAN_LEN, 0))
		return DROP_WRITE_ERROR;
	mark_set(ctx, MARK_OVERLAY);
	return bpf_redirect_neigh(route->ifindex, &next, sizeof(next), 0);
}
