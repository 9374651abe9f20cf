// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What the agent says of the tunnel: whether packets may pass it without its device, and without the stack's hooks. */
#ifndef __LIB_TUNNEL_CONTROL_H
#define __LIB_TUNNEL_CONTROL_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

/* Times of CLOCK_MONOTONIC; 0: no. */
struct tunnel_control {
	__u64 transmit_until_ns; /* may packets of pods enter it so (encap_direct.h)? */
	__u64 receive_until_ns;	 /* may packets for pods leave it so (decap_direct.h)? */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tunnel_control);
} waggle_tunnel SEC(".maps");

#endif
