// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Ethernet headers. */
#ifndef __LIB_ETH_H
#define __LIB_ETH_H

#include <linux/if_ether.h>
#include <linux/types.h>
#include <waggle/drop_reasons.h>
#include <waggle/internal/frame.h>

/* A MAC address as the two words it is copied in. */
struct mac {
	__u32 head;
	__u16 tail;
};

/* From a constant (CONFIG_MAC). */
#define MAC_OF(config)                                                 \
	((struct mac){                                                 \
		.head = *(const volatile __u32 *)&(config)[0],         \
		.tail = *(const volatile __u16 *)&(config)[4],         \
	})

/* From the first six bytes of a map value's eight. */
static __always_inline struct mac mac_of_u64(__u64 value)
{
	struct mac mac = {.head = (__u32)value, .tail = (__u16)(value >> 32)};

	return mac;
}

static __always_inline struct mac mac_load(const __u8 *from)
{
	struct mac mac = {.head = *(const __u32 *)from, .tail = *(const __u16 *)(from + 4)};

	return mac;
}

static __always_inline void mac_store(__u8 *to, struct mac mac)
{
	*(__u32 *)to = mac.head;
	*(__u16 *)(to + 4) = mac.tail;
}

static __always_inline _Bool mac_equal(struct mac a, struct mac b)
{
	return a.head == b.head && a.tail == b.tail;
}

static __always_inline void eth_rewrite(struct ethhdr *eth, struct mac dst, struct mac src)
{
	mac_store(eth->h_dest, dst);
	mac_store(eth->h_source, src);
}

/* Addresses the frame anew. 0 or DROP_INVALID. */
static __always_inline int eth_forward(struct __sk_buff *ctx, struct mac dst, struct mac src)
{
	struct ethhdr *eth = frame_head(ctx, ETH_HLEN);

	if (!eth)
		return DROP_INVALID;
	eth_rewrite(eth, dst, src);
	return 0;
}

#endif
