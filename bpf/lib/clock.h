// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The time that lifetimes are counted in. */
#ifndef __LIB_CLOCK_H
#define __LIB_CLOCK_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

/*
 * Seconds of the monotonic clock, which is coarse here: a plain load, and a tick is far below a second. Divided by 10^9
 * as a multiplication, for a division takes as long as all that is done with the result: in units of 2^24 ns, rounded
 * up, by 2^56 / 10^9, rounded up. So a second never begins late, and early by 17 ms and 0.4 s for each year of uptime.
 */
static __always_inline __u32 clock_s(void)
{
	__u64 units = (bpf_ktime_get_coarse_ns() + (1 << 24) - 1) >> 24;

	return (__u32)((units * 72057595) >> 32);
}

#endif
