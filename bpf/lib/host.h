// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Between pods and everything that is not one: the network (node devices) and the node itself (cilium_host). One
 * stage each way, and a hook point before each; what has to be translated on the way goes through further ones
 * (masquerade.h, nodeport.h). Once for each family (family_v4.h), after snat.h.
 */
#include "config_host.h"
#include "deliver.h"
#include "encap.h"
#include "endpoint.h"
#include "icmp_error.h"
#include "mark.h"
#include "pod_address.h"
#include "tailcall.h"
#include "trace.h"

#define DROP_FILE FILE_HOST_STAGES

/*
 * Into a pod, past the stack. In tunnel mode other nodes' pods come out of the tunnel: from the network, somebody
 * borrows their name.
 */
static __always_inline int F(host_to_pod)(struct __sk_buff *ctx, struct pkt_state *st,
					  struct whereabouts sender, const struct pod_place *pod)
{
	int ret;

	st->src_identity = sender.identity;
	st->dst_identity = pod->identity;
	if (cfg_tunnel_ifindex && sender.tunnel_ipv4 && sender.identity != IDENTITY_REMOTE_NODE)
		return DROP(st, DROP_INVALID_SIP);
	ret = F(l3_forward)(ctx, mac_of_u64(pod->mac), mac_of_u64(pod->node_mac));
	if (ret == DROP_TTL_EXCEEDED)
		return REFUSE(ctx, st, SLOT(HOST_ICMP_ERROR), ICMP_ERROR_TTL_EXCEEDED, ret);
	if (ret < 0)
		return DROP(st, ret);
	return DELIVER_TO(ctx, st, pod->id, pod->identity);
}

static __always_inline int F(host_from_netdev)(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct endpoint_info *from;
	struct whereabouts sender;
	struct F(addresses) ip;
	struct pod_place pod;
	int to;

	/* What is in the tunnel, and from whom, is for the tunnel's own programs to judge. */
	if (IPV == 4 && cfg_tunnel_port && encap_is_plain(ctx, cfg_node_ipv4, cfg_tunnel_port))
		return TC_ACT_OK;
	if (F(addresses_load)(ctx, &ip))
		return DROP(st, DROP_INVALID);
	sender = F(whereabouts)(ip.saddr);
	from = F(may_be_here)(sender, cfg_node_ipv4) ? F(endpoint_lookup)(ip.saddr) : (void *)0;
	if (from && !endpoint_is_host(from)) /* our pods do not live out there */
		return DROP(st, DROP_INVALID_SIP);
	to = F(who_is_here)(ip.daddr, &pod);
	if (to == HERE_POD)
		return from ? DROP(st, DROP_INVALID_SIP) : F(host_to_pod)(ctx, st, sender, &pod);
	/* Replies come to the node's addresses; services may have addresses of their own. */
	if (!from && (cfg_nodeport || (F(masquerade)() && to == HERE_NODE)))
		return JUMP(ctx, st, SLOT(HOST_TRANSLATE));
	return TC_ACT_OK;
}

/* Slot 0: straight into the pod if it is for one, else up the stack, past what translates. */
SEC("tc")
int F(tail_from_netdev)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(host_from_netdev)(ctx, st)) : TC_ACT_SHOT;
}

static __always_inline int F(host_from_host)(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct endpoint_info *ep;
	struct whereabouts where;
	struct F(addresses) ip;
	int ret;

	if (F(addresses_load)(ctx, &ip))
		return DROP(st, DROP_INVALID);
	if (F(is_to_many)(ip.daddr)) /* IPv6 announces itself on every link, this one included: nobody listens */
		return IPV == 6 ? TC_ACT_OK : DROP(st, DROP_MULTICAST);
	ep = F(endpoint_lookup)(ip.saddr);
	st->src_identity = ep && endpoint_is_host(ep) ? IDENTITY_HOST : F(whereabouts)(ip.saddr).identity;
	ep = F(endpoint_lookup)(ip.daddr);
	if (!ep) {
		where = F(whereabouts)(ip.daddr);
		st->dst_identity = where.identity;
		if (cfg_tunnel_ifindex && where.tunnel_ipv4) {
			ret = encap_redirect(ctx, cfg_tunnel_ifindex, where.tunnel_ipv4, st->src_identity);
			return ret < 0 ? DROP(st, ret) : ret;
		}
		/* What is routed here is the cluster's alone: letting strangers pass would route them here again. */
		if (st->dst_identity == IDENTITY_SERVICE)
			return REFUSE(ctx, st, SLOT(HOST_ICMP_ERROR), ICMP_ERROR_PORT_UNREACHABLE, DROP_NO_SERVICE);
		return REFUSE(ctx, st, SLOT(HOST_ICMP_ERROR), ICMP_ERROR_HOST_UNREACHABLE, DROP_UNKNOWN_TARGET);
	}
	if (endpoint_is_host(ep))
		return DROP(st, DROP_UNKNOWN_TARGET);
	st->dst_identity = ep->sec_id;
	if (eth_forward(ctx, mac_of_u64(ep->mac), mac_of_u64(ep->node_mac)))
		return DROP(st, DROP_INVALID);
	mark_set_identity(ctx, st->src_identity);
	return bpf_redirect(ep->ifindex, 0);
}

/* Slot 2: from the node to a pod, or to another node's. A pod's ingress stages run on the egress of its device. */
SEC("tc")
int F(tail_from_host)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(host_from_host)(ctx, st)) : TC_ACT_SHOT;
}

/*
 * What backends answer to clients of NodePorts whom they know by the router address: the stack sends it on to the
 * client, and cil_to_netdev gives it the source that the client asked for.
 */
static __always_inline int F(host_to_host)(struct __sk_buff *ctx, struct pkt_state *st)
{
	struct F(addresses) ip;
	struct F(pkt) pkt;
	int ret;

	if (cfg_nodeport && !F(addresses_load)(ctx, &ip) && F(addr_equal)(ip.daddr, F(router_ip)()) &&
	    !F(parse)(ctx, &pkt)) {
		ret = F(snat_apply)(ctx, &pkt, TUPLE_F_IN);
		if (ret < 0)
			return DROP(st, ret);
	}
	trace(ctx, st, TRACE_TO_HOST, 0);
	return TC_ACT_OK;
}

/* Slot 3: from a pod, here or on another node, up into the node's stack. */
SEC("tc")
int F(tail_to_host)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	return st ? finish(ctx, st, F(host_to_host)(ctx, st)) : TC_ACT_SHOT;
}

/*
 * The answer to what the stack had sent here, to cilium_host or a pod's to the network, and nobody has. A pod here gets it from its
 * router; anybody else over the stack, which takes nothing from the outside in its own name: it comes in the name of
 * the address itself.
 */
static __always_inline int F(host_answer)(struct __sk_buff *ctx, struct pkt_state *st)
{
	const struct endpoint_info *ep;
	struct F(addresses) ip;
	_Bool to_pod;
	int ret;

	if (F(addresses_load)(ctx, &ip))
		return TC_ACT_SHOT;
	ep = F(endpoint_lookup)(ip.saddr);
	to_pod = ep && !endpoint_is_host(ep);
	ret = F(icmp_error)(ctx, st, to_pod ? F(router_ip)() : ip.daddr);
	if (ret)
		return TC_ACT_SHOT;
	if (!to_pod)
		return bpf_redirect(cfg_host_ifindex, BPF_F_INGRESS);
	if (eth_forward(ctx, mac_of_u64(ep->mac), mac_of_u64(ep->node_mac)))
		return TC_ACT_SHOT;
	mark_set_identity(ctx, IDENTITY_HOST);
	return bpf_redirect(ep->ifindex, 0);
}

/* Slot 4: a packet is refused; the answer to one from the network leaves where it came in. */
SEC("tc")
int F(tail_icmp_error)(struct __sk_buff *ctx)
{
	struct pkt_state *st = state_get();

	if (!st)
		return TC_ACT_SHOT;
	refuse_report(ctx, st);
	if (cfg_ifindex == cfg_host_ifindex || st->direction == DIR_EGRESS)
		return F(host_answer)(ctx, st);
	if (F(icmp_error)(ctx, st, F(addr_is_none)(F(device_ip)()) ? F(router_ip)() : F(device_ip)()))
		return TC_ACT_SHOT;
	return bpf_redirect(cfg_ifindex, 0);
}

#undef DROP_FILE
