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

/*
 * Token bucket of ICMP errors, one a CPU: a flood of what is refused must not become a flood of answers (RFC 1812,
 * 4.3.2.8; RFC 4443, 2.4 (f)). As many as the kernel sends itself (icmp_msgs_per_sec).
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ratelimit_bucket);
} waggle_icmp_ratelimit SEC(".maps");

/* May one more error be sent? One that may not is counted. */
static __always_inline _Bool icmp_error_allowed(const struct __sk_buff *ctx, const struct pkt_state *st)
{
	if (ratelimit_take(&waggle_icmp_ratelimit))
		return 1;
	metrics_update(ctx, METRIC_ICMP_SUPPRESSED, st->direction, 0, 0);
	return 0;
}

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
