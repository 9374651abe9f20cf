// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Addresses without services. Most packets are to one: a bit tells, without a search for each of their ports. Once for
 * each family (family_v4.h), after hash.h.
 */
#if IPV == 4
#define LB_FILTER_BITS 20
#define LB_FILTER_WORDS (1 << (LB_FILTER_BITS - 6))

/*
 * A bit is set when no frontend has an address with this hash; the families share the bits. So a map that nobody has
 * written yet denies nothing. The agent clears a bit before it writes the first frontend there, and sets it after it
 * has deleted the last one (src/cells/services/address-filter.ts).
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LB_FILTER_WORDS);
	__type(key, __u32);
	__type(value, __u64);
} waggle_no_services SEC(".maps");

/* The upper bits of the folded half: addresses of one range are spread over all of them, in either family. */
static __always_inline _Bool lb_filter_passes(__u64 hash)
{
	__u32 bit = (__u32)hash >> (32 - LB_FILTER_BITS);
	__u32 word = bit / 64;
	const __u64 *none = bpf_map_lookup_elem(&waggle_no_services, &word);

	return !none || !(*none >> (bit % 64) & 1);
}
#endif

/* May there be a frontend at the address, whatever the port? */
static __always_inline _Bool F(lb_may_serve)(F(addr) addr)
{
	return lb_filter_passes(F(hash_addr)(0, addr));
}
