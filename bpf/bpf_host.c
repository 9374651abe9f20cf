// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The programs of node devices and of cilium_host. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include "config_host.h"
#include "slots.h"
#include <waggle/internal/report.h>

#define PASS(name, slot) SEC("tc") int name(struct __sk_buff *ctx) { \
	struct pkt_state *st = state_get(); if (!st) return TC_ACT_SHOT; \
	bpf_tail_call_static(ctx, &cilium_calls, slot); return drop_report(ctx, st, DROP_MISSED_TAIL_CALL); }
PASS(cil_from_netdev, 16)
PASS(cil_to_netdev, 17)
PASS(cil_from_host, 18)
PASS(cil_to_host, 19)
#define FIN(name) SEC("tc") int name(struct __sk_buff *ctx) { \
	return ctx->len && cfg_ifindex ? TC_ACT_OK : TC_ACT_OK; }
FIN(tail_from_netdev_v4)
FIN(tail_to_netdev_v4)
FIN(tail_from_host_v4)
FIN(tail_to_host_v4)
FIN(tail_icmp_ttl_v4)
char bpf_license[] SEC("license") = "Dual BSD/GPL";
