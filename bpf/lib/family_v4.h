// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Logic is written once for both address families. A header of logic has no include guard, names everything it
 * defines with F(), and is included by an object file once for each family:
 *
 *	#include "family_v4.h"
 *	#include "lxc_egress.h"
 *	#include "family_end.h"
 *	#include "family_v6.h"
 *	#include "lxc_egress.h"
 *	#include "family_end.h"
 *
 * What differs between the families is in pairs of files (parse_v4.h and parse_v6.h, nat_v4.h and nat_v6.h, …)
 * which define the same names with the same arguments, so that F() finds either.
 */
#define IPV 4
#define F(name) name##_v4		 /* functions, types, programs */
#define SLOT(NAME) SLOT_##NAME##_V4	 /* stages: lib/slots.h */
#define HOOK_SLOT(name) WAGGLE_SLOT_##name##_v4 /* hook points: <waggle/hooks.h> */
