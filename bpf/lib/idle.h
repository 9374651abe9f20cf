// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Packets that nobody looks at, and for which the stage ahead has nothing to do, need not begin a journey. */
#ifndef __LIB_IDLE_H
#define __LIB_IDLE_H

#include <bpf/bpf_helpers.h>
#include <waggle/hooks.h>
#include "trace.h"

/* Entries of waggle_idle_hooks. */
#define IDLE_LXC 0
#define IDLE_HOST 1
#define IDLE_OVERLAY 2

/*
 * Hook points without a plugin at any attachment: an entry for each object, with the bits of their slots. Written by the hook
 * linker, which clears a bit before it links a plugin and sets it after the last one is out. All clear, as it begins:
 * any of them may be in use.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} waggle_idle_hooks SEC(".maps");

/* An object's hook points without a plugin, as the bits of their slots. */
static __always_inline __u64 idle_hooks(__u32 object)
{
	const __u64 *idle = bpf_map_lookup_elem(&waggle_idle_hooks, &object);

	return idle ? *(const volatile __u64 *)idle : 0;
}

static __always_inline _Bool idle_at(__u64 idle, __u32 slot)
{
	return idle >> slot & 1;
}

/* Does nobody see what passes this hook point: no plugin, and no trace? */
static __always_inline _Bool nobody_at(__u32 object, __u32 slot)
{
	__u32 zero = 0;
	const struct runtime_config *rt = bpf_map_lookup_elem(&waggle_runtime, &zero);

	return rt && idle_at(idle_hooks(object), slot) && !rt->trace;
}

#endif
