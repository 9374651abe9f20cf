// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The time that lifetimes are counted in. */
#ifndef __LIB_CLOCK_H
#define __LIB_CLOCK_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

/* Seconds of the monotonic clock. Coarse: it is a plain load, and a tick is far below a second. */
static __always_inline __u32 clock_s(void)
{
	return (__u32)(bpf_ktime_get_coarse_ns() / 1000000000ULL);
}

#endif
