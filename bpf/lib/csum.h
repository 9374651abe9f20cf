// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Internet checksums (RFC 1071, incremental update RFC 1624). */
#ifndef __LIB_CSUM_H
#define __LIB_CSUM_H

#include <linux/types.h>

static __always_inline __u16 csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* The checksum after the 16-bit word `from` became `to`. All as on the wire. */
static __always_inline __u16 csum_replace2(__u16 csum, __u16 from, __u16 to)
{
	return csum_fold((__u32)(__u16)~csum + (__u16)~from + to);
}

/* The same for a 32-bit word. */
static __always_inline __u16 csum_replace4(__u16 csum, __u32 from, __u32 to)
{
	csum = csum_replace2(csum, (__u16)from, (__u16)to);
	return csum_replace2(csum, (__u16)(from >> 16), (__u16)(to >> 16));
}

#endif
