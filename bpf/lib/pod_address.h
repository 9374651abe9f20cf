// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Which pod of this node has an address: cilium_lxc, asked once for each pod. Once for each family (family_v4.h). */
#include <waggle/internal/branch.h>
#include "endpoint.h"
#include "pod_record.h"

#if IPV == 4
struct pod_hints wg_hints_address SEC(".maps");
#endif

/* The pod that had the address before, or NULL when it has it no more, or nobody asked. */
static __always_inline const struct endpoint_config *F(pod_known_at)(F(addr) addr)
{
	__u32 slot = F(pod_hint_slot)(addr);
	const __u32 *hint = bpf_map_lookup_elem(&wg_hints_address, &slot);
	const struct endpoint_config *pod = hint ? pod_by_id(*hint) : (void *)0;

	if (unlikely(!pod || !pod->ifindex || F(addr_is_none)(addr)))
		return (void *)0;
	return likely(F(addr_equal)(F(pod_ip)(pod), addr)) ? pod : (void *)0;
}

/* Remembers who has the address. */
static __always_inline void F(pod_remember_at)(F(addr) addr, __u32 id)
{
	__u32 slot = F(pod_hint_slot)(addr);
	__u32 *hint = bpf_map_lookup_elem(&wg_hints_address, &slot);

	if (hint)
		*hint = id;
}

/* Whose is the address? HERE_*, with `pod` filled in for a pod's. */
static __always_inline int F(who_is_here)(F(addr) addr, struct pod_place *pod)
{
	const struct endpoint_config *known = F(pod_known_at)(addr);
	const struct endpoint_info *ep;

	if (known) {
		pod->mac = known->mac;
		pod->node_mac = known->node_mac;
		pod->identity = known->identity;
		pod->id = known->id;
		return HERE_POD;
	}
	ep = F(endpoint_lookup)(addr);
	if (!ep)
		return HERE_NOBODY;
	if (endpoint_is_host(ep))
		return HERE_NODE;
	F(pod_remember_at)(addr, ep->lxc_id);
	pod->mac = ep->mac;
	pod->node_mac = ep->node_mac;
	pod->identity = ep->sec_id;
	pod->id = ep->lxc_id;
	return HERE_POD;
}
