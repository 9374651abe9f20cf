// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* cidr-drop for node devices: what arrives from a blocked prefix, the node's own traffic included. */
#include "blocklist.h"

HOOK(from_netdev_v4)
{
	void *end;
	const struct iphdr *ip = waggle_ipv4(ctx, &end);

	return ip ? check_v4(ip->saddr) : HOOK_DROP;
}

HOOK(from_netdev_v6)
{
	void *end;
	const struct ipv6hdr *ip = waggle_ipv6(ctx, &end);

	return ip ? check_v6(&ip->saddr) : HOOK_DROP;
}
