// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Explicit congestion notification: the two lowest bits of IPv4's TOS and IPv6's traffic class (RFC 3168, 5). */
#ifndef __LIB_ECN_H
#define __LIB_ECN_H

#define ECN_MASK 3
#define ECN_ECT_0 2
#define ECN_CE 3

#endif
