// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* How connections are remembered. Set by the loader, alike for all programs that keep them. */
#ifndef __LIB_CONFIG_CT_H
#define __LIB_CONFIG_CT_H

#include "config.h"

/* Conntrack lifetimes without traffic, in seconds. */
CONFIG(__u32, cfg_ct_tcp_established_s, 21600);
CONFIG(__u32, cfg_ct_tcp_syn_s, 60);
CONFIG(__u32, cfg_ct_tcp_close_s, 10);
CONFIG(__u32, cfg_ct_udp_s, 60);
CONFIG(__u32, cfg_ct_icmp_s, 60);

/* Are packets and bytes of each connection counted? */
CONFIG(_Bool, cfg_ct_accounting, 0);

#endif
