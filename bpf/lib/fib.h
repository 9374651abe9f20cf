// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Asking the kernel's routes (bpf_fib_lookup). */
#ifndef __LIB_FIB_H
#define __LIB_FIB_H

#define FIB_AF_INET 2
#define FIB_FROM_NODE 1 /* ifindex of the loopback device: routed as what the node itself sends */

#endif
