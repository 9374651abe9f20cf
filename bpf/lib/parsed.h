// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The packet's headers, read once for all stages of a pod. Once for each family (family_v4.h).
 *
 * They are kept in the state, and who changes the packet brings them up to date (nat.h). A plugin that ran in between
 * may have changed anything: then they are read again.
 */
#include <waggle/internal/branch.h>
#include <waggle/internal/parse_v4.h>
#include <waggle/internal/parse_v6.h>
#include <waggle/internal/state.h>

/* Has the headers in `pkt`. 0 or DROP_*, as F(parse)(). Invalidates packet pointers. */
static __always_inline int F(parse_once)(struct __sk_buff *ctx, struct pkt_state *st, struct F(pkt) **pkt)
{
	int ret;

	*pkt = &st->F(pkt);
	if (likely(ctx->cb[PARSED_CB] == IPV))
		return 0;
	/* What was found for the packet as it was is not for the other end. */
	st->ct_bits &= ~(CT_B_TX | CT_B_RX | CT_B_COUNTED);
	ret = F(parse)(ctx, *pkt);
	if (likely(!ret))
		ctx->cb[PARSED_CB] = IPV;
	return ret;
}
