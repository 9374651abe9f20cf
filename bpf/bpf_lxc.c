// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The programs of a pod's device. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include "config_lxc.h"
#include "slots.h"
#include <waggle/internal/report.h>

#define MAYBE_MISSED(ctx) TC_ACT_SHOT
#define PASS(name, slot) SEC("tc") int name(struct __sk_buff *ctx) { \
	struct pkt_state *st = state_get(); if (!st) return TC_ACT_SHOT; \
	bpf_tail_call_static(ctx, &cilium_calls, slot); return drop_report(ctx, st, DROP_MISSED_TAIL_CALL); }

struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 65535); __uint(key_size, 4); __uint(value_size, 4); } cilium_call_policy SEC(".maps");
PASS(cil_from_container, 16)
PASS(cil_to_container, 20)
PASS(cil_lxc_policy, 20)
PASS(tail_service_v4, 17)
PASS(tail_ct_egress_v4, 18)
PASS(tail_policy_egress_v4, 19)
PASS(tail_ct_ingress_v4, 21)
PASS(tail_policy_ingress_v4, 22)
#define FIN(name) SEC("tc") int name(struct __sk_buff *ctx) { \
	return ctx->len && cfg_endpoint_id ? TC_ACT_OK : TC_ACT_OK; }
FIN(tail_forward_v4)
FIN(tail_deliver_v4)
FIN(tail_arp)
FIN(tail_icmp_ttl_v4)
char bpf_license[] SEC("license") = "Dual BSD/GPL";
