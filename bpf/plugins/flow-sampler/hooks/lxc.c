// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * flow-sampler: one in `sample_rate` new flows goes to a ring buffer of its family. It looks where conntrack has just
 * spoken and policy has not: flows that policy is about to refuse are reported as well.
 */
#include <waggle/plugin.h>

#define SAMPLES_BYTES (256 * 1024)

PLUGIN_CONFIG(__u32, sample_rate, 100);

/* A record of the ring buffer. Addresses and ports in network order, everything else in the host's. */
struct flow_sample {
	__u64 time_ns; /* monotonic clock */
	__u32 src_identity;
	__u32 dst_identity;
	__be32 saddr;
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	__u16 endpoint_id;
	__u8 protocol;
	__u8 direction; /* 1 ingress, 2 egress: as the endpoint sees it */
	__u32 packet_len;
	__u32 sample_rate; /* how many flows this one stands for */
};

/* The same of IPv6. */
struct flow_sample_v6 {
	__u64 time_ns;
	__u32 src_identity;
	__u32 dst_identity;
	struct in6_addr saddr;
	struct in6_addr daddr;
	__be16 sport;
	__be16 dport;
	__u16 endpoint_id;
	__u8 protocol;
	__u8 direction;
	__u32 packet_len;
	__u32 sample_rate;
};

_Static_assert(sizeof(struct flow_sample) == 40, "readers rely on 40 bytes");
_Static_assert(sizeof(struct flow_sample_v6) == 64, "readers rely on 64 bytes");

/* New flows, oldest first, a buffer for each family. Read by whoever wants them. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SAMPLES_BYTES);
} flow_samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SAMPLES_BYTES);
} flow_samples_v6 SEC(".maps");

/* Samples that found their ring buffer full. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} samples_lost SEC(".maps");

static __always_inline void count_lost(void)
{
	__u32 zero = 0;
	__u64 *lost = bpf_map_lookup_elem(&samples_lost, &zero);

	if (lost)
		(*lost)++;
}

/* Is this the first packet of a flow, and the flow's turn to be reported? */
static __always_inline _Bool is_chosen(struct __sk_buff *ctx)
{
	return waggle_ct_state(ctx) == WAGGLE_CT_NEW && bpf_get_prandom_u32() % PLUGIN_CONFIG_GET(sample_rate) == 0;
}

/* Fills in a record of either family, whose members have the same names. */
#define FILL(record, ctx, tuple)                                        \
	do {                                                            \
		(record)->time_ns = bpf_ktime_get_ns();                 \
		(record)->src_identity = waggle_src_identity(ctx);      \
		(record)->dst_identity = waggle_dst_identity(ctx);      \
		(record)->saddr = (tuple).saddr;                        \
		(record)->daddr = (tuple).daddr;                        \
		(record)->sport = (tuple).sport;                        \
		(record)->dport = (tuple).dport;                        \
		(record)->endpoint_id = waggle_endpoint_id(ctx);        \
		(record)->protocol = (tuple).protocol;                  \
		(record)->direction = waggle_direction(ctx);            \
		(record)->packet_len = waggle_packet_len(ctx);          \
		(record)->sample_rate = PLUGIN_CONFIG_GET(sample_rate); \
	} while (0)

static __always_inline void sample_v4(struct __sk_buff *ctx)
{
	struct waggle_tuple4 tuple;
	struct flow_sample *record;

	if (!is_chosen(ctx) || waggle_tuple4(ctx, &tuple))
		return;
	record = bpf_ringbuf_reserve(&flow_samples, sizeof(*record), 0);
	if (!record) {
		count_lost();
		return;
	}
	FILL(record, ctx, tuple);
	bpf_ringbuf_submit(record, 0);
}

static __always_inline void sample_v6(struct __sk_buff *ctx)
{
	struct waggle_tuple6 tuple;
	struct flow_sample_v6 *record;

	if (!is_chosen(ctx) || waggle_tuple6(ctx, &tuple))
		return;
	record = bpf_ringbuf_reserve(&flow_samples_v6, sizeof(*record), 0);
	if (!record) {
		count_lost();
		return;
	}
	FILL(record, ctx, tuple);
	bpf_ringbuf_submit(record, 0);
}

HOOK(from_container_pre_policy_v4)
{
	sample_v4(ctx);
	return HOOK_NEXT;
}

HOOK(to_container_pre_policy_v4)
{
	sample_v4(ctx);
	return HOOK_NEXT;
}

HOOK(from_container_pre_policy_v6)
{
	sample_v6(ctx);
	return HOOK_NEXT;
}

HOOK(to_container_pre_policy_v6)
{
	sample_v6(ctx);
	return HOOK_NEXT;
}
