// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Hashing addresses and ports: multiplication by the golden ratio, folded. Spreads well; no secret. */
#ifndef __LIB_HASH_H
#define __LIB_HASH_H

#include <linux/types.h>
#include <waggle/internal/addr.h>

#define HASH_GOLDEN_RATIO 0x9e3779b97f4a7c15ULL /* 2^64 / phi, odd */

static __always_inline __u64 hash_mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * HASH_GOLDEN_RATIO;
	return hash ^ (hash >> 32);
}

static __always_inline __u64 hash_addr_v4(__u64 hash, addr_v4 addr)
{
	return hash_mix(hash, addr);
}

static __always_inline __u64 hash_addr_v6(__u64 hash, addr_v6 addr)
{
	return hash_mix(hash_mix(hash, addr.word[0]), addr.word[1]);
}

/* A number below `range` from the upper half of a hash, without the bias of a remainder. */
static __always_inline __u32 hash_below(__u64 hash, __u32 range)
{
	return (__u32)(((hash >> 32) * range) >> 32);
}

#endif
