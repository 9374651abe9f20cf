// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * How constants are declared that the loader sets before the programs are loaded. The verifier knows their values:
 * branches on a feature that is off are removed.
 */
#ifndef __LIB_CONFIG_H
#define __LIB_CONFIG_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <waggle/internal/addr.h>

#define CONFIG(type, name, default_value) \
	const volatile type name SEC(".rodata.config") = default_value

/* Arrays are aligned so that they can be read as words. */
#define CONFIG_MAC(name) \
	const volatile __u8 name[6] SEC(".rodata.config") __attribute__((aligned(8))) = {0}
#define CONFIG_IPV6(name) \
	const volatile __u8 name[16] SEC(".rodata.config") __attribute__((aligned(8))) = {0}

/* The value of a CONFIG_IPV6. */
#define IPV6_OF(config)                                                        \
	((addr_v6){.word = {*(const volatile __u64 *)&(config)[0],             \
			    *(const volatile __u64 *)&(config)[8]}})

#endif
