// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Constants of one attachment of bpf_host.c (a node device, or cilium_host), set by the loader. */
#ifndef __LIB_CONFIG_HOST_H
#define __LIB_CONFIG_HOST_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define CONFIG(type, name, default_value) \
	const volatile type name SEC(".rodata.config") = default_value

/* Arrays are aligned so that they can be read as words. */
#define CONFIG_MAC(name) \
	const volatile __u8 name[6] SEC(".rodata.config") __attribute__((aligned(8))) = {0}

CONFIG(__u32, cfg_ifindex, 0);	    /* the device of this attachment */
CONFIG(__u32, cfg_router_ipv4, 0);  /* as on the wire */
CONFIG(__u32, cfg_host_ifindex, 0); /* of cilium_host */
CONFIG_MAC(cfg_host_mac);	    /* of cilium_host */
CONFIG_MAC(cfg_device_mac);	    /* of the device of this attachment */
CONFIG(__u32, cfg_mtu, 1500);
CONFIG(__u8, cfg_is_l3_device, 0); /* device without Ethernet headers */

#endif
