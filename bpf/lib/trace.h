// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Trace and policy verdict records, sent only when waggle_runtime asks for them. */
#ifndef __LIB_TRACE_H
#define __LIB_TRACE_H

#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <waggle/internal/branch.h>
#include <waggle/internal/report.h>

/* Observation points: `subtype` of a trace record. */
#define TRACE_TO_LXC 0
#define TRACE_TO_HOST 2
#define TRACE_TO_STACK 3
#define TRACE_TO_OVERLAY 4
#define TRACE_FROM_LXC 5
#define TRACE_FROM_HOST 7
#define TRACE_FROM_STACK 8
#define TRACE_FROM_OVERLAY 9
#define TRACE_FROM_NETWORK 10
#define TRACE_TO_NETWORK 11

/* `reason` of a trace record: what conntrack said. */
#define TRACE_REASON_NEW 0
#define TRACE_REASON_ESTABLISHED 1
#define TRACE_REASON_REPLY 2
#define TRACE_REASON_RELATED 3
#define TRACE_REASON_UNKNOWN 5

/* `flags` of a trace record. */
#define TRACE_F_IPV6 1

struct runtime_config {
	__u32 trace;
	__u32 verdicts;
	__u32 pad[2];
};

/* What to report. Written by the monitor cell when somebody listens. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct runtime_config);
} waggle_runtime SEC(".maps");

struct trace_notify {
	struct notify_header hdr;
	__u32 src_label;
	__u32 dst_label;
	__u16 dst_id;
	__u8 reason;
	__u8 flags;
	__u32 ifindex;
	union ip_addr orig_ip;
};

struct verdict_notify {
	struct notify_header hdr;
	__u32 remote_label;
	__s32 verdict; /* 0 allowed, else DROP_* */
	__u16 dst_port; /* host order */
	__u8 proto;
	__u8 dir : 2, ipv6 : 1, match_type : 3, audited : 1, l3 : 1;
	__u8 auth_type;
	__u8 pad[3];
};

_Static_assert(sizeof(struct trace_notify) == 48, "trace record is 48 bytes");
_Static_assert(sizeof(struct verdict_notify) == 32, "policy verdict record is 32 bytes");

/* Begins a journey: nothing known, and what to report settled for all of its stages. */
static __always_inline void state_reset(struct __sk_buff *ctx, struct pkt_state *st, __u8 direction)
{
	__u32 zero = 0;
	const struct runtime_config *rt = bpf_map_lookup_elem(&waggle_runtime, &zero);

	/* Said to be aligned, or it is cleared byte by byte. */
	__builtin_memset(__builtin_assume_aligned((void *)st + PKT_STATE_RESET_OFF, 8), 0, PKT_STATE_RESET);
	ctx->cb[PARSED_CB] = 0;
	st->direction = direction;
	if (rt)
		st->observe = (rt->trace ? OBSERVE_TRACE : 0) | (rt->verdicts ? OBSERVE_VERDICTS : 0);
}

static __always_inline __u8 trace_reason(__u8 ct_state)
{
	/* NEW to RELATED are 1 to 4 here and 0 to 3 in the record. */
	return ct_state == CT_STATE_UNKNOWN ? TRACE_REASON_UNKNOWN : ct_state - CT_STATE_NEW;
}

/* Reports the packet at an observation point. `dst_id`: endpoint id of the destination or 0. */
static __always_inline void trace(struct __sk_buff *ctx, const struct pkt_state *st, __u8 point,
				  __u16 dst_id)
{
	if (likely(!(st->observe & OBSERVE_TRACE)))
		return;

	struct trace_notify record = {
		.src_label = st->src_identity,
		.dst_label = st->dst_identity,
		.dst_id = dst_id,
		.reason = trace_reason(st->ct_state),
		.flags = ctx->protocol == bpf_htons(ETH_P_IPV6) ? TRACE_F_IPV6 : 0,
		.ifindex = ctx->ifindex,
		.orig_ip = st->orig_daddr,
	};

	notify_header_fill(ctx, &record.hdr, NOTIFY_TRACE, point, st->endpoint_id);
	notify_send(ctx, &record, sizeof(record), record.hdr.len_cap);
}

#endif
