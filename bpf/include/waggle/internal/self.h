// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The pod whose stages run. PRIVATE to the datapath.
 *
 * All pods of a node share one set of programs; what differs between them is data. An entry program finds its pod by
 * the device, and whoever hands a packet on to a pod names it in the state.
 */
#ifndef __WAGGLE_INTERNAL_SELF_H
#define __WAGGLE_INTERNAL_SELF_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <waggle/internal/addr.h>
#include <waggle/internal/state.h>

#define ENDPOINT_IDS 65536

/* endpoint_config.flags: are the pod's rules for this direction in force? */
#define ENDPOINT_F_ENFORCE_INGRESS (1 << 0)
#define ENDPOINT_F_ENFORCE_EGRESS (1 << 1)

/* A packet may meet it half written, so each member has to make sense without the others. */
struct endpoint_config {
	__u32 ifindex;	  /* of the node's end of the veth pair; 0: no such pod, or not ready. Written last */
	__u32 identity;
	__u32 created_s;  /* monotonic clock: when the pod got its address */
	__u32 stats_base; /* first record of its block in waggle_hook_stats */
	__be32 ipv4;
	__u16 flags; /* ENDPOINT_F_* */
	__u16 id;
	__u64 mac;	/* of the pod's end */
	__u64 node_mac; /* of the node's end: the pod's gateway */
	addr_v6 ipv6;
	__u64 pad;
};

_Static_assert(sizeof(struct endpoint_config) == 64, "struct endpoint_config is one cache line");

/* Endpoint id to pod. Written by the loader; 0 is the node's own and stays empty. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ENDPOINT_IDS);
	__type(key, __u32);
	__type(value, struct endpoint_config);
} waggle_endpoints SEC(".maps");

/* The pod whose stages run, or NULL, which the verifier wants handled. A few instructions: ask where it is needed. */
static __always_inline const struct endpoint_config *endpoint_self(const struct pkt_state *st)
{
	__u32 id = st->endpoint_id;

	return bpf_map_lookup_elem(&waggle_endpoints, &id);
}

#endif
