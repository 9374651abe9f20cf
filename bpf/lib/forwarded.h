// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Counting the packets that went on. */
#ifndef __LIB_FORWARDED_H
#define __LIB_FORWARDED_H

#include <waggle/internal/branch.h>
#include <waggle/internal/report.h>

/* Index of what is counted for both directions with one look-up: packets that went out of a pod and right into another. */
#define FORWARDED_BETWEEN_PODS 0

/* What else this CPU forwarded in a direction (the index: DIR_*), up to now. */
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

/* Brings this CPU's row of cilium_metrics up to date, for a direction. */
static __attribute__((noinline, unused)) int forwarded_show(__u32 dir)
{
	struct metrics_key key = {.reason = METRIC_FORWARDED, .dir = dir};
	struct metrics_value *value = bpf_map_lookup_elem(&cilium_metrics, &key), first;
	__u32 between = FORWARDED_BETWEEN_PODS;
	struct forwarded *sum = bpf_map_lookup_elem(&waggle_forwarded, &dir);
	struct forwarded *both = bpf_map_lookup_elem(&waggle_forwarded, &between);

	if (!sum || !both)
		return 0;
	first.count = sum->count + both->count;
	first.bytes = sum->bytes + both->bytes;
	if (!value)
		return bpf_map_update_elem(&cilium_metrics, &key, &first, BPF_ANY);
	if (value->count >= first.count) { /* from before there was anything here */
		sum->count += value->count;
		sum->bytes += value->bytes;
		first.count += value->count;
		first.bytes += value->bytes;
	}
	value->count = first.count;
	value->bytes = first.bytes;
	return 0;
}

/* One more packet that went on. Once for each direction (DIR_*) of a journey, or FORWARDED_BETWEEN_PODS. */
static __always_inline void count_forwarded(const struct __sk_buff *ctx, __u8 dir)
{
	__u32 index = dir;
	struct forwarded *sum = bpf_map_lookup_elem(&waggle_forwarded, &index);

	if (unlikely(!sum))
		return;
	sum->count++;
	sum->bytes += ctx->len;
	if (likely(sum->shown == bpf_jiffies64() && sum->count % FORWARDED_BATCH != 0))
		return;
	sum->shown = bpf_jiffies64();
	if (dir != DIR_EGRESS)
		forwarded_show(DIR_INGRESS);
	if (dir != DIR_INGRESS)
		forwarded_show(DIR_EGRESS);
}

#endif
