// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Dropping a packet. Helpers return DROP_* (negative) and know nothing of reporting; a stage marks where it
 * gave up, and its wrapper program reports once:
 *
 *	#define DROP_FILE FILE_LXC_EGRESS_V4
 *	if (ret < 0)
 *		return DROP(st, ret);
 *
 * The table of reasons is <waggle/drop_reasons.h>.
 */
#ifndef __LIB_DROP_H
#define __LIB_DROP_H

#include <waggle/internal/branch.h>
#include <waggle/internal/report.h>

static __always_inline int drop_mark(struct pkt_state *st, __u8 file, __u16 line, int reason)
{
	st->drop_file = file;
	st->drop_line = line;
	return reason;
}

/* Remembers this line as the place of the drop; value: the reason. */
#define DROP(st, reason) drop_mark(st, DROP_FILE, __LINE__, reason)

/* What a program returns: the verdict of its stage, a drop being reported first. */
static __always_inline int finish(struct __sk_buff *ctx, const struct pkt_state *st, int ret)
{
	return unlikely(ret < 0) ? drop_report(ctx, st, ret) : ret;
}

#endif
