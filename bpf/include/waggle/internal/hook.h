// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The machinery behind HOOK(). PRIVATE to the datapath.
 *
 * A plugin's program is one link of the chain A -> P1 -> … -> Pn -> B. It runs the author's body and, on
 * HOOK_NEXT, tail-calls the link after it. Where that sits in the chain's program array is a constant
 * of the program, so the jump has a constant key and the JIT compiles it to a direct one. The same constant says whether
 * the body may change packets, which the agent finds out from its instructions: the stages behind a chain that only reads
 * keep what they know of the headers.
 */
#ifndef __WAGGLE_INTERNAL_HOOK_H
#define __WAGGLE_INTERNAL_HOOK_H

#include <waggle/hooks.h>
#include <waggle/internal/report.h>

#define HOOK_CHAIN_SLOTS 128

/*
 * Programs that only read packets find what comes after them in the upper half of the chain, which holds the same as the
 * lower one. So one constant says where they go on and what they do: each takes a load, whether or not what depends on it
 * is left, and that is seen in the cost of a hop.
 */
#define HOOK_CHAIN_READERS 64
#define HOOK_STATS_SLOTS 32768

/* Indexes into hook_stats.verdicts; read by the agent. */
#define HOOK_STAT_NEXT 0
#define HOOK_STAT_PASS 1
#define HOOK_STAT_DROP 2
#define HOOK_STAT_REDIRECT 3
#define HOOK_STAT_OTHER 4
#define HOOK_STAT_MISSED 5

struct hook_stats {
	__u64 verdicts[8];
};

/*
 * A block of 64 records for each pod and each device of the node. Where it begins is in the packet's control block,
 * put there by who began the journey; a hook program's rank (cfg_slot_<hook>) is its place within every block.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOK_STATS_SLOTS);
	__type(key, __u32);
	__type(value, struct hook_stats);
} waggle_hook_stats SEC(".maps");

static __always_inline struct hook_stats *hook_stats_get(const struct __sk_buff *ctx, __u32 rank)
{
	__u32 slot = ctx->cb[HOOK_STATS_CB] + rank;

	return bpf_map_lookup_elem(&waggle_hook_stats, &slot);
}

/*
 * Reports a drop. A function of its own, since registers that are kept over its calls would be saved and restored with every
 * hop: that is seen in the cost of one.
 */
static __attribute__((noinline, unused)) int hook_drop(struct __sk_buff *ctx, int reason)
{
	struct pkt_state *st = state_get();

	if (!st)
		return TC_ACT_SHOT;
	st->drop_line = 0;
	st->drop_file = FILE_PLUGIN;
	return drop_report(ctx, st, reason);
}

/* Counts the body's verdict (all but "next") and turns it into that of the program. */
static __always_inline int hook_verdict(struct __sk_buff *ctx, struct hook_stats *stats, int verdict)
{
	__u32 index = verdict == TC_ACT_OK	   ? HOOK_STAT_PASS
		      : verdict == TC_ACT_SHOT	   ? HOOK_STAT_DROP
		      : verdict == TC_ACT_REDIRECT ? HOOK_STAT_REDIRECT
						   : HOOK_STAT_OTHER;

	if (stats)
		stats->verdicts[index]++;
	if (index == HOOK_STAT_PASS || index == HOOK_STAT_REDIRECT)
		return verdict;
	return hook_drop(ctx, DROP_BY_PLUGIN);
}

/*
 * The packet may not be what its headers were. By hand, so that the agent can tell this store from a plugin's own: zero,
 * just before it is stored.
 */
static __always_inline void hook_forget_headers(struct __sk_buff *ctx)
{
	__u64 zero;

	asm volatile("%0 = 0\n\t"
		     "*(u32 *)(%1 + %2) = %0"
		     : "=&r"(zero)
		     : "r"(ctx), "i"(__builtin_offsetof(struct __sk_buff, cb) + PARSED_CB * sizeof(__u32))
		     : "memory");
}

/* The next link was not there: never silently, and never past a stage. */
static __always_inline int hook_missed(struct __sk_buff *ctx, __u32 rank)
{
	struct hook_stats *stats = hook_stats_get(ctx, rank); /* anew, for the same reason */

	if (stats)
		stats->verdicts[HOOK_STAT_MISSED]++;
	return hook_drop(ctx, DROP_MISSED_TAIL_CALL);
}

#define WAGGLE_DEFINE_HOOK(name)                                                                     \
	_Static_assert(                                                                              \
		WAGGLE_IS_HOOK_POINT(name),                                                          \
		"HOOK(" #name "): no such hook point. Pods (hooks/lxc.c): "                          \
		"from_container_pre_{service,ct,policy,forward}_{v4,v6}, "                           \
		"to_container_pre_{ct,policy,deliver}_{v4,v6}. Host (hooks/host.c): "                \
		"{from,to}_{netdev,host}_{v4,v6}. Overlay (hooks/overlay.c): "                       \
		"{from,to}_overlay_{v4,v6}. See <waggle/hooks.h>.");                                 \
	const volatile __u32 cfg_slot_##name SEC(".rodata.config") = 0;                              \
	const volatile __u32 cfg_pos_##name SEC(".rodata.config") = 0;                               \
	struct {                                                                                     \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);                                               \
		__uint(max_entries, HOOK_CHAIN_SLOTS);                                               \
		__uint(key_size, sizeof(__u32));                                                     \
		__uint(value_size, sizeof(__u32));                                                   \
	} wg_chain_##name SEC(".maps");                                                              \
	static __always_inline int waggle_body_##name(struct __sk_buff *ctx);                        \
	SEC("tc") int name(struct __sk_buff *ctx)                                                    \
	{                                                                                            \
		int verdict = waggle_body_##name(ctx);                                               \
		struct hook_stats *stats = hook_stats_get(ctx, cfg_slot_##name);                     \
		if (verdict != -1)                                                                   \
			return hook_verdict(ctx, stats, verdict);                                    \
		if (stats)                                                                           \
			stats->verdicts[HOOK_STAT_NEXT]++;                                           \
		__u32 pos = cfg_pos_##name;                                                          \
		if (pos < HOOK_CHAIN_READERS)                                                        \
			hook_forget_headers(ctx);                                                    \
		bpf_tail_call(ctx, &wg_chain_##name, pos);                                           \
		return hook_missed(ctx, cfg_slot_##name);                                            \
	}                                                                                            \
	static __always_inline int waggle_body_##name(                                               \
		struct __sk_buff *ctx __attribute__((unused)))

#endif
