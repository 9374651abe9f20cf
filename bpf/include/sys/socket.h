/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What <linux/if.h>, and so <linux/icmp.h>, wants of the C library's socket header: the C library's own does not
 * compile for the bpf target.
 */
#ifndef __WAGGLE_SYS_SOCKET_H
#define __WAGGLE_SYS_SOCKET_H

#include <linux/types.h>

struct sockaddr {
	__u16 sa_family;
	char sa_data[14];
};

#endif
