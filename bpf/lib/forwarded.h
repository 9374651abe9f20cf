// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Counting the packets that went on. */
#ifndef __LIB_FORWARDED_H
#define __LIB_FORWARDED_H

#include <waggle/internal/branch.h>
#include <waggle/internal/report.h>

/* What this CPU forwarded in a direction (the index: DIR_*), up to now. */
struct forwarded {
	__u64 count;
	__u64 bytes;
	__u64 shown; /* jiffies: when cilium_metrics was told last */
};

/*
 * Forwarded packets are counted here and shown in cilium_metrics, with the first packet of each tick of the clock
 * and every FORWARDED_BATCH packets: looking up its row for each packet costs more than all else that is counted. Read
 * by the metrics cell, which so misses none.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DIR_EGRESS + 1);
	__type(key, __u32);
	__type(value, struct forwarded);
} waggle_forwarded SEC(".maps");

#define FORWARDED_BATCH 64 /* a power of two */

/* Brings this CPU's row of cilium_metrics up to date. */
static __always_inline void forwarded_show(struct forwarded *sum, __u8 dir)
{
	struct metrics_key key = {.reason = METRIC_FORWARDED, .dir = dir};
	struct metrics_value *value = bpf_map_lookup_elem(&cilium_metrics, &key), first;

	sum->shown = bpf_jiffies64();
	if (value) {
		if (value->count >= sum->count) { /* from before there was anything here */
			sum->count += value->count;
			sum->bytes += value->bytes;
		}
		value->count = sum->count;
		value->bytes = sum->bytes;
	} else {
		first.count = sum->count;
		first.bytes = sum->bytes;
		bpf_map_update_elem(&cilium_metrics, &key, &first, BPF_ANY);
	}
}

/* One more packet that went on. Once for each direction of a journey. */
static __always_inline void count_forwarded(const struct __sk_buff *ctx, __u8 dir)
{
	__u32 index = dir;
	struct forwarded *sum = bpf_map_lookup_elem(&waggle_forwarded, &index);

	if (unlikely(!sum))
		return;
	sum->count++;
	sum->bytes += ctx->len;
	if (unlikely(sum->shown != bpf_jiffies64() || sum->count % FORWARDED_BATCH == 0))
		forwarded_show(sum, dir);
}

#endif
