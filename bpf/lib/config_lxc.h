// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Constants of bpf_lxc.c, the same for all pods of the node, set by the loader. Addresses as on the wire. */
#ifndef __LIB_CONFIG_LXC_H
#define __LIB_CONFIG_LXC_H

#include "config.h"
#include "config_ct.h"

CONFIG(__u32, cfg_router_ipv4, 0);  /* of the node, as the pods' gateway */
CONFIG_IPV6(cfg_router_ipv6);
CONFIG(__u32, cfg_node_ipv4, 0); /* of the node, on the underlay */
CONFIG_IPV6(cfg_node_ipv6);
CONFIG(__u32, cfg_host_ifindex, 0); /* of cilium_host */
CONFIG_MAC(cfg_host_mac);	    /* of cilium_host */
CONFIG(__u32, cfg_tunnel_ifindex, 0); /* of cilium_vxlan; 0: native routing */
CONFIG(__u32, cfg_tunnel_mtu, 0);     /* longest IP packet that the tunnel takes; 0: no limit known */
CONFIG(__u16, cfg_tunnel_port, 0);    /* UDP port of the tunnel, host order */
CONFIG(__u8, cfg_enable_ipv4, 1);
CONFIG(__u8, cfg_enable_ipv6, 0);
CONFIG(__u32, cfg_mtu, 1500);

static __always_inline addr_v4 router_ip_v4(void)
{
	return cfg_router_ipv4;
}

static __always_inline addr_v6 router_ip_v6(void)
{
	return IPV6_OF(cfg_router_ipv6);
}

static __always_inline addr_v4 node_ip_v4(void)
{
	return cfg_node_ipv4;
}

static __always_inline addr_v6 node_ip_v6(void)
{
	return IPV6_OF(cfg_node_ipv6);
}

#endif
