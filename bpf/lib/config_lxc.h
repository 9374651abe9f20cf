// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Constants of one pod's copy of bpf_lxc.c, set by the loader before the programs are loaded. The verifier
 * knows their values: branches on a feature that is off are removed.
 */
#ifndef __LIB_CONFIG_LXC_H
#define __LIB_CONFIG_LXC_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define CONFIG(type, name, default_value) \
	const volatile type name SEC(".rodata.config") = default_value

/* Arrays are aligned so that they can be read as words. */
#define CONFIG_MAC(name) \
	const volatile __u8 name[6] SEC(".rodata.config") __attribute__((aligned(8))) = {0}

CONFIG(__u16, cfg_endpoint_id, 0);
CONFIG(__u32, cfg_endpoint_ipv4, 0); /* as on the wire */
CONFIG_MAC(cfg_endpoint_mac);	     /* of the pod's end of the veth pair */
CONFIG_MAC(cfg_node_mac);	     /* of the node's end: the pod's gateway */
CONFIG(__u32, cfg_identity, 0);
CONFIG(__u32, cfg_ifindex, 0);	    /* of the node's end */
CONFIG(__u32, cfg_router_ipv4, 0);  /* as on the wire */
CONFIG(__u32, cfg_host_ifindex, 0); /* of cilium_host */
CONFIG_MAC(cfg_host_mac);	    /* of cilium_host */
CONFIG(__u8, cfg_enforce_ingress, 0);
CONFIG(__u8, cfg_enforce_egress, 0);
CONFIG(__u32, cfg_mtu, 1500);
CONFIG(__u32, cfg_created_s, 0); /* monotonic clock: when the pod got its address */

/* Conntrack lifetimes without traffic, in seconds. */
CONFIG(__u32, cfg_ct_tcp_established_s, 21600);
CONFIG(__u32, cfg_ct_tcp_syn_s, 60);
CONFIG(__u32, cfg_ct_tcp_close_s, 10);
CONFIG(__u32, cfg_ct_udp_s, 60);
CONFIG(__u32, cfg_ct_icmp_s, 60);

#endif
