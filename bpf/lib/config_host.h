// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Constants of one attachment of bpf_host.c (a node device, or cilium_host), set by the loader. Addresses as on the wire. */
#ifndef __LIB_CONFIG_HOST_H
#define __LIB_CONFIG_HOST_H

#include "config.h"
#include "config_ct.h"

CONFIG(__u32, cfg_ifindex, 0);	   /* the device of this attachment */
CONFIG(__u32, cfg_router_ipv4, 0); /* of the node, as the pods' gateway */
CONFIG_IPV6(cfg_router_ipv6);
CONFIG(__u32, cfg_node_ipv4, 0); /* of the node, on the underlay */
CONFIG_IPV6(cfg_node_ipv6);
CONFIG(__u32, cfg_device_ipv4, 0); /* of this device: the source of masqueraded packets; 0: it has none */
CONFIG_IPV6(cfg_device_ipv6);
CONFIG(__u32, cfg_host_ifindex, 0);   /* of cilium_host */
CONFIG_MAC(cfg_host_mac);	      /* of cilium_host */
CONFIG_MAC(cfg_device_mac);	      /* of the device of this attachment */
CONFIG(__u32, cfg_tunnel_ifindex, 0); /* of cilium_vxlan; 0: native routing */
CONFIG(__u32, cfg_tunnel_mtu, 0);     /* longest IP packet that the tunnel takes; 0: no limit known */
CONFIG(__u16, cfg_tunnel_port, 0);    /* UDP port of the tunnel, host order; 0: no tunnel */
CONFIG(__u8, cfg_enable_ipv4, 1);
CONFIG(__u8, cfg_enable_ipv6, 0);
CONFIG(__u8, cfg_masquerade_ipv4, 0);
CONFIG(__u8, cfg_masquerade_ipv6, 0);
CONFIG(__u8, cfg_nodeport, 0); /* services are served here */
CONFIG(__u32, cfg_mtu, 1500);
CONFIG(__u8, cfg_is_l3_device, 0); /* device without Ethernet headers */
CONFIG(__u32, cfg_stats_base, 0);  /* first record of this attachment's block in waggle_hook_stats */

/* Are services served at this device? cilium_host only takes part in answering. */
static __always_inline _Bool serves_network(void)
{
	return cfg_nodeport && cfg_ifindex != cfg_host_ifindex;
}

static __always_inline addr_v4 router_ip_v4(void)
{
	return cfg_router_ipv4;
}

static __always_inline addr_v6 router_ip_v6(void)
{
	return IPV6_OF(cfg_router_ipv6);
}

static __always_inline addr_v4 device_ip_v4(void)
{
	return cfg_device_ipv4;
}

static __always_inline addr_v6 device_ip_v6(void)
{
	return IPV6_OF(cfg_device_ipv6);
}

static __always_inline _Bool masquerade_v4(void)
{
	return cfg_masquerade_ipv4;
}

static __always_inline _Bool masquerade_v6(void)
{
	return cfg_masquerade_ipv6;
}

#endif
