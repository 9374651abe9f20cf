// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* From the programs of node devices and of the tunnel into those of the pods. */
#ifndef __LIB_DELIVER_H
#define __LIB_DELIVER_H

#include "drop.h"
#include "endpoint.h"

#define CALL_POLICY_SLOT 0

/* cil_lxc_policy of the set of programs that the pods share. Filled by the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} waggle_call_policy SEC(".maps");

/* On to the pod, in whose name the pods' programs then run: the verdict to return. */
#define DELIVER_TO(ctx, st, id, identity)                                            \
	({                                                                           \
		(st)->endpoint_id = (id);                                            \
		(st)->dst_identity = (identity);                                     \
		bpf_tail_call_static(ctx, &waggle_call_policy, CALL_POLICY_SLOT);    \
		DROP(st, DROP_EP_NOT_READY);                                         \
	})

/* The same to the pod that cilium_lxc has an entry of. */
#define DELIVER(ctx, st, ep) DELIVER_TO(ctx, st, (ep)->lxc_id, (ep)->sec_id)

#endif
