// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* cidr-drop for pods: what they send to a blocked prefix, and what comes to them from one. */
#include "blocklist.h"

/* Behind the service stage: a backend in a blocked prefix is not reached by way of its service either. */
HOOK(from_container_pre_ct_v4)
{
	void *end;
	const struct iphdr *ip = waggle_ipv4(ctx, &end);

	return ip ? check_v4(ip->daddr) : HOOK_DROP;
}

HOOK(to_container_pre_ct_v4)
{
	void *end;
	const struct iphdr *ip = waggle_ipv4(ctx, &end);

	return ip ? check_v4(ip->saddr) : HOOK_DROP;
}

HOOK(from_container_pre_ct_v6)
{
	void *end;
	const struct ipv6hdr *ip = waggle_ipv6(ctx, &end);

	return ip ? check_v6(&ip->daddr) : HOOK_DROP;
}

HOOK(to_container_pre_ct_v6)
{
	void *end;
	const struct ipv6hdr *ip = waggle_ipv6(ctx, &end);

	return ip ? check_v6(&ip->saddr) : HOOK_DROP;
}
