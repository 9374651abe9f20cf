// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Constants of one attachment of bpf_host.c (a node device, or cilium_host), set by the loader. */
#ifndef __LIB_CONFIG_HOST_H
#define __LIB_CONFIG_HOST_H

#include "config.h"

CONFIG(__u32, cfg_ifindex, 0);	    /* the device of this attachment */
CONFIG(__u32, cfg_router_ipv4, 0);  /* as on the wire */
CONFIG(__u32, cfg_host_ifindex, 0); /* of cilium_host */
CONFIG_MAC(cfg_host_mac);	    /* of cilium_host */
CONFIG_MAC(cfg_device_mac);	    /* of the device of this attachment */
CONFIG(__u32, cfg_mtu, 1500);
CONFIG(__u8, cfg_is_l3_device, 0); /* device without Ethernet headers */

static __always_inline addr_v4 router_ip_v4(void)
{
	return cfg_router_ipv4;
}

#endif
