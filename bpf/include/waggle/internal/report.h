// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Counting and reporting drops, shared by the core and by HOOK(). PRIVATE to the datapath.
 *
 * Record formats follow the field's (a 16-byte header, then a body, then the packet's first bytes):
 * little endian, read by the monitor cell.
 */
#ifndef __WAGGLE_INTERNAL_REPORT_H
#define __WAGGLE_INTERNAL_REPORT_H

#include <linux/pkt_cls.h>
#include <waggle/drop_reasons.h>
#include <waggle/internal/state.h>

#define METRIC_FORWARDED 0
#define METRIC_ICMP_SUPPRESSED 1 /* an ICMP error that was not sent: too many of them */

#define NOTIFY_DROP 1
#define NOTIFY_TRACE 4
#define NOTIFY_VERDICT 5
#define NOTIFY_VERSION 1
#define NOTIFY_PAYLOAD_MAX 128

/* Source files in drop records and metrics: `file`. Mirrored by src/datapath/drop-reasons.ts. */
#define FILE_LXC 1
#define FILE_HOST 2
#define FILE_LXC_EGRESS 3
#define FILE_LXC_INGRESS 4
#define FILE_HOST_STAGES 5
#define FILE_ARP 6
#define FILE_LXC_POLICY 7
#define FILE_PLUGIN 8
#define FILE_OVERLAY 9
#define FILE_OVERLAY_STAGES 10
#define FILE_NODEPORT 11
#define FILE_MASQUERADE 12
#define FILE_NDP 13
#define FILE_LXC_SHORT 14
#define FILE_DECAP_DIRECT 15

struct metrics_key {
	__u8 reason; /* 0 forwarded, else |DROP_*| */
	__u8 dir;
	__u16 line; /* both zero when forwarded */
	__u8 file;
	__u8 reserved[3];
};

struct metrics_value {
	__u64 count;
	__u64 bytes;
};

/* Packets and bytes by reason. Written here only, read by the metrics cell. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct metrics_key);
	__type(value, struct metrics_value);
} cilium_metrics SEC(".maps");

/* Records for the monitor cell, one ring a CPU. max_entries 0: libbpf takes the number of CPUs. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
	__uint(max_entries, 0);
} cilium_events SEC(".maps");

struct ratelimit_bucket {
	__u64 last_refill_ns;
	__u64 tokens;
};

/* Token bucket of drop records, one a CPU: a flood of drops must not become a flood of records. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ratelimit_bucket);
} waggle_ratelimit SEC(".maps");

#define RATELIMIT_BURST 1000
#define RATELIMIT_NS_PER_TOKEN 1000000ULL /* 1,000 a second and CPU */

struct notify_header {
	__u8 type;
	__u8 subtype;
	__u16 source; /* endpoint id */
	__u32 hash;
	__u32 len_orig;
	__u16 len_cap;
	__u8 version;
	__u8 ext_version;
};

struct drop_notify {
	struct notify_header hdr;
	__u32 src_label;
	__u32 dst_label;
	__u32 dst_id;
	__u16 line;
	__u8 file;
	__s8 ext_error;
	__u32 ifindex;
};

_Static_assert(sizeof(struct notify_header) == 16, "notification header is 16 bytes");
_Static_assert(sizeof(struct drop_notify) == 36, "drop record is 36 bytes");

/* Counts one packet. */
static __always_inline void metrics_update(const struct __sk_buff *ctx, __u8 reason, __u8 dir,
					   __u16 line, __u8 file)
{
	struct metrics_key key = {.reason = reason, .dir = dir, .line = line, .file = file};
	struct metrics_value *value = bpf_map_lookup_elem(&cilium_metrics, &key);

	if (value) { /* this CPU's own: no atomics needed */
		value->count++;
		value->bytes += ctx->len;
	} else {
		struct metrics_value first = {.count = 1, .bytes = ctx->len};

		/* When the table is full the packet stays uncounted; nothing else to be done here. */
		bpf_map_update_elem(&cilium_metrics, &key, &first, BPF_ANY);
	}
}

/* Takes a token from this CPU's bucket of `map`; false when there is none. */
static __always_inline _Bool ratelimit_take(void *map)
{
	__u32 zero = 0;
	struct ratelimit_bucket *bucket = bpf_map_lookup_elem(map, &zero);
	__u64 now, refill;

	if (!bucket)
		return 0;
	if (!bucket->tokens) {
		now = bpf_ktime_get_ns();
		refill = (now - bucket->last_refill_ns) / RATELIMIT_NS_PER_TOKEN;
		if (!refill)
			return 0;
		bucket->tokens = refill < RATELIMIT_BURST ? refill : RATELIMIT_BURST;
		bucket->last_refill_ns = now;
	}
	bucket->tokens--;
	return 1;
}

static __always_inline void notify_header_fill(struct __sk_buff *ctx, struct notify_header *hdr,
					       __u8 type, __u8 subtype, __u16 source)
{
	__u32 len = ctx->len;

	hdr->type = type;
	hdr->subtype = subtype;
	hdr->source = source;
	hdr->hash = bpf_get_hash_recalc(ctx);
	hdr->len_orig = len;
	hdr->len_cap = len < NOTIFY_PAYLOAD_MAX ? len : NOTIFY_PAYLOAD_MAX;
	hdr->version = NOTIFY_VERSION;
	hdr->ext_version = 0;
}

/* Sends a record and the packet's first hdr->len_cap bytes. A full ring loses it and counts the loss. */
static __always_inline void notify_send(struct __sk_buff *ctx, void *record, __u32 size, __u16 len_cap)
{
	bpf_perf_event_output(ctx, &cilium_events, ((__u64)len_cap << 32) | BPF_F_CURRENT_CPU, record,
			      size);
}

/* Counts and reports a drop for `reason` (DROP_*); the verdict to return. */
static __always_inline int drop_report(struct __sk_buff *ctx, const struct pkt_state *st, int reason)
{
	__u8 code = (__u8)-reason;

	metrics_update(ctx, code, st->direction, st->drop_line, st->drop_file);
	if (ratelimit_take(&waggle_ratelimit)) {
		struct drop_notify record = {
			.src_label = st->src_identity,
			.dst_label = st->dst_identity,
			.line = st->drop_line,
			.file = st->drop_file,
			.ifindex = ctx->ifindex,
		};

		if (st->direction == DIR_INGRESS)
			record.dst_id = st->endpoint_id;
		notify_header_fill(ctx, &record.hdr, NOTIFY_DROP, code, st->endpoint_id);
		notify_send(ctx, &record, sizeof(record), record.hdr.len_cap);
	}
	return TC_ACT_SHOT;
}

#endif
