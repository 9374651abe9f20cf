// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Takes up some 64 KiB of the memory that the kernel keeps translated programs in. Never attached. See elsewhere.ts. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int filler(struct __sk_buff *ctx __attribute__((unused)))
{
	asm volatile(".rept 13000\n"
		     "r0 = 1\n"
		     ".endr" ::: "r0");
	return 0;
}

char bpf_license[] SEC("license") = "Dual BSD/GPL";
