// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Addresses of both families, as on the wire. PRIVATE to the datapath. */
#ifndef __WAGGLE_INTERNAL_ADDR_H
#define __WAGGLE_INTERNAL_ADDR_H

#include <linux/types.h>

typedef __be32 addr_v4;

struct ipv6_words {
	__u64 word[2];
};

typedef struct ipv6_words addr_v6;

/* Room for either, where a map or the state keeps both in one place. */
union ip_addr {
	addr_v4 ip_v4;
	addr_v6 ip_v6;
	__u8 bytes[16];
};

static __always_inline _Bool addr_equal_v4(addr_v4 a, addr_v4 b)
{
	return a == b;
}

static __always_inline _Bool addr_is_none_v4(addr_v4 addr)
{
	return !addr;
}

static __always_inline _Bool addr_is_none_v6(addr_v6 addr)
{
	return !(addr.word[0] | addr.word[1]);
}

static __always_inline _Bool addr_equal_v6(addr_v6 a, addr_v6 b)
{
	return a.word[0] == b.word[0] && a.word[1] == b.word[1];
}

#endif
