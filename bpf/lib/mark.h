// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The sender's identity in skb->mark, where it survives a redirect to another device: magic 0x0F00, the
 * identity's low 16 bits in the upper half, its next 8 bits in the lowest byte (the field's encoding).
 */
#ifndef __LIB_MARK_H
#define __LIB_MARK_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define MARK_IDENTITY_MAGIC 0x0F00U
#define MARK_MAGIC_MASK 0x0F00U

/* Other marks that tell cil_to_netdev what it has to do. */
#define MARK_OVERLAY 0x0400U  /* a packet of the tunnel: nothing */
#define MARK_NODEPORT 0x0500U /* a NodePort's client on its way to a backend elsewhere: give it our address */

/* Accessed by hand: the compiler computes the field's address when it is read and written, and loses the context. */
static __always_inline __u32 mark_get(const struct __sk_buff *ctx)
{
	__u32 mark;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(mark)
		     : "r"(ctx), "i"(__builtin_offsetof(struct __sk_buff, mark)));
	return mark;
}

static __always_inline void mark_set(struct __sk_buff *ctx, __u32 mark)
{
	asm volatile("*(u32 *)(%0 + %1) = %2"
		     :
		     : "r"(ctx), "i"(__builtin_offsetof(struct __sk_buff, mark)), "r"(mark)
		     : "memory");
}

static __always_inline void mark_set_identity(struct __sk_buff *ctx, __u32 identity)
{
	ctx->mark = ((identity & 0xffff) << 16) | MARK_IDENTITY_MAGIC | ((identity >> 16) & 0xff);
}

/* The identity in the mark, which is then cleared; 0 when there is none, and the mark stays. */
static __always_inline __u32 mark_take_identity(struct __sk_buff *ctx)
{
	__u32 mark = ctx->mark;

	if ((mark & MARK_MAGIC_MASK) != MARK_IDENTITY_MAGIC)
		return 0;
	ctx->mark = 0;
	return ((mark & 0xff) << 16) | (mark >> 16);
}

#endif
