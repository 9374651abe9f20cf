// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Which way most packets go. The compiler lays their code out in one piece and the rest behind it; between two packets
 * the processor's caches forget most of a program, so what a packet pays for is mostly how much of it has to be fetched.
 * PRIVATE to the datapath.
 */
#ifndef __WAGGLE_INTERNAL_BRANCH_H
#define __WAGGLE_INTERNAL_BRANCH_H

#ifndef likely
#define likely(condition) __builtin_expect(!!(condition), 1)
#endif
#ifndef unlikely
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#endif

#endif
