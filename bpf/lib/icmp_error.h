// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Refusing a packet and telling its sender so. A stage describes the error in the state and jumps to the stage that
 * sends it:
 *
 *	return REFUSE(ctx, st, SLOT(LXC_ICMP_ERROR), ICMP_ERROR_PORT_UNREACHABLE, DROP_NO_SERVICE);
 *
 * For ICMP_ERROR_TOO_BIG, st->icmp_mtu is set before.
 */
#ifndef __LIB_ICMP_ERROR_H
#define __LIB_ICMP_ERROR_H

#include "drop.h"
#include "tailcall.h"

#define ICMP_DEFAULT_TTL 64

/*
 * How much of the transport header is quoted. Eight bytes are asked for; the kernel refuses to cut a packet before a
 * checksum that hardware is still to fill in, and TCP's ends at byte 18.
 */
#define ICMP_QUOTE_L4_MAX 32

struct icmp_error_header {
	__u8 type;
	__u8 code;
	__u16 check;
	__be32 word; /* zero, or an MTU */
};

#define REFUSE(ctx, st, slot, error, reason)                        \
	({                                                          \
		(st)->icmp_error = error;                           \
		(st)->drop_reason = (__u8)-drop_mark(st, DROP_FILE, __LINE__, reason); \
		bpf_tail_call_static(ctx, &cilium_calls, slot);     \
		DROP(st, DROP_MISSED_TAIL_CALL);                    \
	})

/* Counts and reports the refused packet, before it becomes the answer. */
static __always_inline void refuse_report(struct __sk_buff *ctx, const struct pkt_state *st)
{
	drop_report(ctx, st, -(int)st->drop_reason);
}

#endif
