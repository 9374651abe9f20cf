// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The TCP header (RFC 9293, 3.1), and what resets are made of. */
#ifndef __LIB_TCP_HEADER_H
#define __LIB_TCP_HEADER_H

#include <linux/types.h>

#define TCP_RESET_TTL 64
#define TCP_SEQ_OFF 4
#define TCP_CHECKSUM_OFF 16

struct tcp_header {
	__be16 sport;
	__be16 dport;
	__be32 seq;
	__be32 ack;
	__u8 data_offset; /* words, in the high half */
	__u8 flags;
	__be16 window;
	__u16 check;
	__be16 urgent;
};

_Static_assert(sizeof(struct tcp_header) == 20, "TCP header is 20 bytes");

#endif
