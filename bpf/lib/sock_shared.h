// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Services at the socket: what is alike in both families, and what differs between them. */
#ifndef __LIB_SOCK_SHARED_H
#define __LIB_SOCK_SHARED_H

#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <waggle/internal/addr.h>
#include <waggle/internal/ipcache.h>
#include "clock.h"
#include "config_sock.h"

/* Structs and maps of sock_maps.h under the names that tools know; F(lb_reverse_sk) finds either. */
#define lb_reverse_sk_key_v4 lb4_reverse_sk_key
#define lb_reverse_sk_key_v6 lb6_reverse_sk_key
#define lb_reverse_sk_v4 lb4_reverse_sk
#define lb_reverse_sk_v6 lb6_reverse_sk
#define lb_reverse_sk_map_v4 cilium_lb4_reverse_sk
#define lb_reverse_sk_map_v6 cilium_lb6_reverse_sk

/* What became of a socket's peer; errors are negative. */
#define SOCK_PASS 0    /* nothing */
#define SOCK_CHANGED 1 /* another address and port */

static __always_inline _Bool is_loopback_v4(addr_v4 address)
{
	return (address & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

static __always_inline _Bool is_loopback_v6(addr_v6 address)
{
	return !address.word[0] && address.word[1] == bpf_cpu_to_be64(1);
}

#endif
