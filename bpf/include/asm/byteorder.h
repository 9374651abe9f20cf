// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The BPF target has the byte order of the machine that runs it; -target bpf means the compiling one's. */
#ifndef __WAGGLE_ASM_BYTEORDER_H
#define __WAGGLE_ASM_BYTEORDER_H
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#include <linux/byteorder/little_endian.h>
#else
#include <linux/byteorder/big_endian.h>
#endif
#endif
