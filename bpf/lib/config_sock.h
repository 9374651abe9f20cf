// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Constants of bpf_sock.c, set by the agent before the programs are loaded. */
#ifndef __LIB_CONFIG_SOCK_H
#define __LIB_CONFIG_SOCK_H

#include "config.h"

CONFIG(__u64, cfg_netns_cookie, 0); /* of the node's network namespace: the sockets that are served */
CONFIG(__u32, cfg_node_ipv4, 0);    /* as on the wire; 0: none */
CONFIG_IPV6(cfg_node_ipv6);	    /* all zero: none */

static __always_inline addr_v4 node_ip_v4(void)
{
	return cfg_node_ipv4;
}

static __always_inline addr_v6 node_ip_v6(void)
{
	return IPV6_OF(cfg_node_ipv6);
}

#endif
