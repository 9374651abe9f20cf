// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What programs remember of tables, so that most packets ask none: whereabouts.h of the ipcache.
 *
 * A memo says under which epoch of its table it was made, and is good for that epoch alone. The agent changes a table
 * first, then the epoch, and only then says that the change is in the kernel; a program reads the epoch first, then the
 * table. So nothing that was read before a change passes for the table after it.
 *
 * Each CPU has memos of its own, and each set of programs: a new set never sees what another made of other tables.
 * Programs of network devices run with bottom halves disabled, whether a packet comes in or a process sends it, and not
 * in interrupts: none runs in the midst of another on the same CPU, so a memo is only ever met whole. Programs of
 * sockets may be interrupted by these and must have no part in it.
 */
#ifndef __LIB_MEMO_H
#define __LIB_MEMO_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define EPOCH_IPCACHE 0
#define EPOCHS 1

/* How often each table has changed; 0: nobody says so, and nothing may be remembered. Written by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, EPOCHS);
	__type(key, __u32);
	__type(value, __u64);
} waggle_epochs SEC(".maps");

/* Memos of a CPU, 16 KiB a table. One place for each hash: what is asked for next takes it. */
#define MEMO_BITS 9
#define MEMOS (1 << MEMO_BITS)

/* The memo for a hash_mix(). */
static __always_inline __u32 memo_slot(__u64 hash)
{
	return (__u32)(hash >> (64 - MEMO_BITS));
}

/* What a memo says that is made now; both families share the memos, and their addresses may look alike. 0: make none. */
static __always_inline __u64 memo_tag(__u32 table, int ipv)
{
	const __u64 *epoch = bpf_map_lookup_elem(&waggle_epochs, &table);
	__u64 now = epoch ? *(const volatile __u64 *)epoch : 0;

	return now ? now << 1 | (ipv == 6) : 0;
}

/* Before the table is asked: the memo is good for nothing, and what is read from now on was not read before the epoch. */
static __always_inline void memo_begin(__u64 *tag)
{
	__sync_lock_test_and_set(tag, 0); /* a full memory barrier as well */
}

/* The memo is made. */
static __always_inline void memo_end(__u64 *tag, __u64 now)
{
	barrier();
	*(volatile __u64 *)tag = now;
}

#endif
