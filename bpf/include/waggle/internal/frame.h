// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Direct access to a frame's bytes. PRIVATE to the datapath. */
#ifndef __WAGGLE_INTERNAL_FRAME_H
#define __WAGGLE_INTERNAL_FRAME_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

/*
 * The packet's bounds. Loaded by hand: left to itself the compiler copies these 32-bit context fields with
 * 32-bit moves, and the verifier then no longer sees packet pointers.
 */
static __always_inline void *ctx_data(const struct __sk_buff *ctx)
{
	void *data;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(data)
		     : "r"(ctx), "i"(__builtin_offsetof(struct __sk_buff, data)));
	return data;
}

static __always_inline void *ctx_data_end(const struct __sk_buff *ctx)
{
	void *end;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(end)
		     : "r"(ctx), "i"(__builtin_offsetof(struct __sk_buff, data_end)));
	return end;
}

/* Points at `len` readable bytes from the start of the frame, or NULL. Linearises only when it must. */
static __always_inline void *frame_head(struct __sk_buff *ctx, __u32 len)
{
	void *data = ctx_data(ctx);

	if (data + len <= ctx_data_end(ctx))
		return data;
	if (bpf_skb_pull_data(ctx, len))
		return (void *)0;
	data = ctx_data(ctx);
	return data + len <= ctx_data_end(ctx) ? data : (void *)0;
}

#endif
