// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Who may send what through the tunnel. Once for each family (family_v4.h), after whereabouts.h. */
#include "endpoint.h"

#if IPV == 4
/* Whom the tunnel says a packet is from. A node calls itself "host"; to us it is a remote one. */
static __always_inline __u32 tunnel_identity(__u32 vni)
{
	return vni == IDENTITY_HOST ? IDENTITY_REMOTE_NODE : vni;
}
#endif

/*
 * May `node`, whose address on the underlay this is, send a packet in the name of `saddr` and `identity`? Where the
 * table says which node an address is behind, only that one; and nobody in one of ours. Nobody's address may be the
 * world's, which that node lets in, or that of a pod so new that the table does not know it yet: a node that the table
 * does know may send those, in no reserved identity but world. 0 or DROP_*.
 */
static __always_inline int F(tunnel_check_source)(__be32 node, __u32 identity, F(addr) saddr)
{
	__be32 tunnel_ipv4 = F(whereabouts)(saddr).tunnel_ipv4;

	if (tunnel_ipv4)
		return tunnel_ipv4 == node ? 0 : DROP_INVALID_SIP;
	if (F(endpoint_lookup)(saddr))
		return DROP_INVALID_SIP;
	if (whereabouts_v4(node).identity != IDENTITY_REMOTE_NODE)
		return DROP_UNKNOWN_SENDER;
	return identity < IDENTITY_POD_MIN && identity != IDENTITY_WORLD ? DROP_INVALID_IDENTITY : 0;
}
