// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Constants of bpf_overlay.c at cilium_vxlan, set by the loader. Addresses as on the wire. */
#ifndef __LIB_CONFIG_OVERLAY_H
#define __LIB_CONFIG_OVERLAY_H

#include "config.h"

CONFIG(__u32, cfg_ifindex, 0); /* of cilium_vxlan */
CONFIG(__u8, cfg_enable_ipv4, 1);
CONFIG(__u8, cfg_enable_ipv6, 0);
CONFIG(__u32, cfg_router_ipv4, 0);
CONFIG_IPV6(cfg_router_ipv6);
CONFIG(__u32, cfg_host_ifindex, 0); /* of cilium_host */
CONFIG_MAC(cfg_host_mac);	    /* of cilium_host */
CONFIG(__u32, cfg_stats_base, 0);   /* first record of this attachment's block in waggle_hook_stats */

static __always_inline addr_v4 router_ip_v4(void)
{
	return cfg_router_ipv4;
}

static __always_inline addr_v6 router_ip_v6(void)
{
	return IPV6_OF(cfg_router_ipv6);
}

#endif
