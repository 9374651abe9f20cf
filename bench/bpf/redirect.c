// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The least that a BPF program between two pods of a node can do: every frame that a pod sends goes on to the other one,
 * unread. Loaded once for each of them.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 cfg_other SEC(".rodata.config") = 0; /* index of the node's end of the other pod's veth pair */

SEC("tc")
int redirect(struct __sk_buff *ctx __attribute__((unused)))
{
	return bpf_redirect_peer(cfg_other, 0);
}

char bpf_license[] SEC("license") = "Dual BSD/GPL";
