// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Jumps between stages. The key of a static tail call is an immediate, so the JIT compiles it to a direct
 * jump (kernel commit d2e4c1e6c294) and an unused hook point costs nothing.
 */
#ifndef __LIB_TAILCALL_H
#define __LIB_TAILCALL_H

#include "slots.h"
#include "drop.h"

/* Goes to a stage or hook point of this set of programs. Comes back only when the slot is empty. */
#define JUMP(ctx, st, slot)                                        \
	({                                                         \
		bpf_tail_call_static(ctx, &cilium_calls, slot);    \
		DROP(st, DROP_MISSED_TAIL_CALL);                   \
	})

#endif
