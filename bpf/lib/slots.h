// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Slots of the stages in `cilium_calls`, and the tail-call budget. Slots of hook points: <waggle/hooks.h>.
 *
 * The kernel ends a journey at 33 tail calls. The hook linker adds up the chains against what the stages leave. Pod to
 * pod on one node takes 7:
 *
 *	cil_from_container -1-> service -2-> conntrack -3-> policy -4-> forward
 *	  -5-> conntrack -6-> policy -7-> deliver
 */
#ifndef __LIB_SLOTS_H
#define __LIB_SLOTS_H

#include <bpf/bpf_helpers.h>
#include <waggle/hooks.h>

#define CALLS_SLOTS 64

/* What is IPv6 stands 32 behind its twin of IPv4. bpf_lxc.c: */
#define SLOT_LXC_SERVICE_V4 0
#define SLOT_LXC_CT_EGRESS_V4 1
#define SLOT_LXC_POLICY_EGRESS_V4 2
#define SLOT_LXC_FORWARD_V4 3
#define SLOT_LXC_CT_INGRESS_V4 4
#define SLOT_LXC_POLICY_INGRESS_V4 5
#define SLOT_LXC_DELIVER_V4 6
#define SLOT_LXC_ARP 7
#define SLOT_LXC_ICMP_ERROR_V4 8
#define SLOT_LXC_SERVICE_V6 32
#define SLOT_LXC_CT_EGRESS_V6 33
#define SLOT_LXC_POLICY_EGRESS_V6 34
#define SLOT_LXC_FORWARD_V6 35
#define SLOT_LXC_CT_INGRESS_V6 36
#define SLOT_LXC_POLICY_INGRESS_V6 37
#define SLOT_LXC_DELIVER_V6 38
#define SLOT_LXC_NDP 39
#define SLOT_LXC_ICMP_ERROR_V6 40

/* bpf_host.c */
#define SLOT_HOST_FROM_NETDEV_V4 0
#define SLOT_HOST_TO_NETDEV_V4 1
#define SLOT_HOST_FROM_HOST_V4 2
#define SLOT_HOST_TO_HOST_V4 3
#define SLOT_HOST_ICMP_ERROR_V4 4
#define SLOT_HOST_TRANSLATE_V4 5
#define SLOT_HOST_NODEPORT_V4 6
#define SLOT_HOST_NODEPORT_SNAT_V4 7
#define SLOT_HOST_MASQUERADE_V4 8
#define SLOT_HOST_FROM_NETDEV_V6 32
#define SLOT_HOST_TO_NETDEV_V6 33
#define SLOT_HOST_FROM_HOST_V6 34
#define SLOT_HOST_TO_HOST_V6 35
#define SLOT_HOST_ICMP_ERROR_V6 36
#define SLOT_HOST_TRANSLATE_V6 37
#define SLOT_HOST_NODEPORT_V6 38
#define SLOT_HOST_NODEPORT_SNAT_V6 39
#define SLOT_HOST_MASQUERADE_V6 40

/* bpf_overlay.c */
#define SLOT_OVERLAY_FROM_V4 0
#define SLOT_OVERLAY_TO_V4 1
#define SLOT_OVERLAY_ICMP_ERROR_V4 2
#define SLOT_OVERLAY_FROM_V6 32
#define SLOT_OVERLAY_TO_V6 33
#define SLOT_OVERLAY_ICMP_ERROR_V6 34

/*
 * The stages and hook entries of this set of programs: that of the pods, or a device's. The loader fills all slots before it attaches the
 * entry programs; the hook linker swings the hook slots afterwards.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, CALLS_SLOTS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} cilium_calls SEC(".maps");

#endif
