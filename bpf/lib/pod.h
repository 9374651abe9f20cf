// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What the pods' own programs ask about the pod at hand. For bpf_lxc.c. */
#ifndef __LIB_POD_H
#define __LIB_POD_H

#include <waggle/internal/branch.h>
#include "config_lxc.h"
#include "pod_record.h"
#include "slots.h"

/* Node's end of a veth pair to endpoint id. Written by the loader when the programs are attached there. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENDPOINT_IDS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} waggle_devices SEC(".maps");

struct pod_hints wg_hints_device SEC(".maps");

/* Names the pod of this device in the state. The pod, or NULL while it is not ready. */
static __always_inline const struct endpoint_config *pod_of_device(const struct __sk_buff *ctx,
								   struct pkt_state *st)
{
	__u32 ifindex = ctx->ifindex, slot = ifindex % POD_HINTS;
	__u32 *hint = bpf_map_lookup_elem(&wg_hints_device, &slot);
	const struct endpoint_config *pod;
	__u32 id = hint ? *hint : 0;
	const __u32 *known;

	pod = pod_by_id(id);
	if (unlikely(!pod || pod->ifindex != ifindex)) {
		known = bpf_map_lookup_elem(&waggle_devices, &ifindex);
		if (!known)
			return (void *)0;
		id = *known;
		pod = pod_by_id(id);
		/* Another pod may have the id by now, and this one have lost its device. */
		if (!pod || pod->ifindex != ifindex)
			return (void *)0;
		if (hint)
			*hint = id;
	}
	st->endpoint_id = (__u16)id;
	return pod;
}

/* Where the counters of the pod's hook programs are: said once a journey, read by each of them (hook.h). */
static __always_inline void pod_count_at(struct __sk_buff *ctx, const struct endpoint_config *pod)
{
	ctx->cb[HOOK_STATS_CB] = pod->stats_base;
}

/* The same for the pod that the state names, where a packet comes to its first hook point: most never come to one. */
static __always_inline void pod_count_self(struct __sk_buff *ctx, const struct pkt_state *st)
{
	const struct endpoint_config *pod = endpoint_self(st);

	if (pod)
		pod_count_at(ctx, pod);
}

/* Since when connections can be the pod's: those of its address before that were another's. */
static __always_inline __u32 pod_since(const struct pkt_state *st, __u32 now)
{
	const struct endpoint_config *pod = endpoint_self(st);

	return pod ? pod->created_s : now;
}

#endif
