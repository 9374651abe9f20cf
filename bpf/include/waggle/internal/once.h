// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Functions that the verifier may look at by themselves. PRIVATE to the datapath.
 *
 * It follows every way through an inlined function with all that comes after it. A global function it looks at once a
 * program, for any arguments: loads take a fraction of the time, where there is stack enough for the call, and each
 * packet pays for a call. An object file for which that is worth it defines VERIFY_ONCE before it includes anything.
 * Arguments are scalars and pointers, and pointers have to be checked: the verifier does not know that they are not NULL.
 */
#ifndef __WAGGLE_INTERNAL_ONCE_H
#define __WAGGLE_INTERNAL_ONCE_H

#include <bpf/bpf_helpers.h>

#ifndef VERIFY_ONCE
#define VERIFY_ONCE static __always_inline
#endif

#endif
