// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The BPF target is one architecture wherever it is compiled: use the kernel's generic header. */
#ifndef __WAGGLE_ASM_POSIX_TYPES_H
#define __WAGGLE_ASM_POSIX_TYPES_H
#include <asm-generic/posix_types.h>
#endif
