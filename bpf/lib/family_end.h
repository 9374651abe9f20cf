// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Ends what family_v4.h or family_v6.h began. */
#undef IPV
#undef F
#undef SLOT
#undef HOOK_SLOT
