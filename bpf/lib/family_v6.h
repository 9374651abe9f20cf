// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The headers of logic that follow are of IPv6; see family_v4.h. */
#define IPV 6
#define F(name) name##_v6
#define SLOT(NAME) SLOT_##NAME##_V6
#define HOOK_SLOT(name) WAGGLE_SLOT_##name##_v6
