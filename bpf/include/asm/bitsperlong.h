// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* `long` has 64 bits on the BPF target, whatever the compiling machine has. */
#ifndef __WAGGLE_ASM_BITSPERLONG_H
#define __WAGGLE_ASM_BITSPERLONG_H
#define __BITS_PER_LONG 64
#include <asm-generic/bitsperlong.h>
#endif
