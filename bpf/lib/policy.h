// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Who may talk to a pod: each has a policy map of its own, filled by the policy reconciler. */
#ifndef __LIB_POLICY_H
#define __LIB_POLICY_H

#include <bpf/bpf_endian.h>
#include <waggle/internal/branch.h>
#include <waggle/internal/l4.h>
#include <waggle/internal/self.h>
#include "trace.h"

struct policy_key {
	__u32 prefixlen; /* bits of what follows */
	__u32 sec_label; /* identity of the peer; 0: any */
	__u8 egress;
	__u8 protocol;
	__be16 dport;
};

struct policy_entry {
	__be16 proxy_port;
	__u8 deny : 1, reserved : 2, lpm_prefix_length : 5;
	__u8 auth_type;
	__u8 proxy_port_priority;
	__u8 pad[3];
	__u32 cookie;
};

_Static_assert(sizeof(struct policy_key) == 12, "policy key is 12 bytes");
_Static_assert(sizeof(struct policy_entry) == 12, "policy value is 12 bytes");

#define POLICY_FULL_PREFIX 64
#define POLICY_PROTOCOL_BITS 8 /* of policy_entry.lpm_prefix_length */

/* `match_type` of a policy verdict record. */
#define POLICY_MATCH_NONE 0
#define POLICY_MATCH_L3_ONLY 1
#define POLICY_MATCH_L3_L4 2
#define POLICY_MATCH_L4_ONLY 3
#define POLICY_MATCH_ALL 4
#define POLICY_MATCH_L3_PROTO 5
#define POLICY_MATCH_PROTO_ONLY 6

/*
 * A pod's rules, both directions. The agent makes cilium_policy_<id> for each; this one stays empty: it brings the
 * types of key and value into the BTF, where the compiler has no more than their names for maps in maps.
 */
struct policy_map {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_key);
	__type(value, struct policy_entry);
} cilium_policy SEC(".maps");

/* Endpoint id to policy map, of pods that enforce something. Written by the loader, before it sets their flags. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, ENDPOINT_IDS);
	__type(key, __u32);
	__array(values, struct policy_map);
} waggle_policies SEC(".maps");

/* The rules of the pod whose stages run, or NULL. */
static __always_inline void *policy_rules(const struct pkt_state *st)
{
	__u32 id = st->endpoint_id;

	return bpf_map_lookup_elem(&waggle_policies, &id);
}

static __always_inline __u8 policy_match_type(const struct policy_entry *entry, _Bool by_identity)
{
	__u8 bits = entry->lpm_prefix_length;

	if (!bits)
		return by_identity ? POLICY_MATCH_L3_ONLY : POLICY_MATCH_ALL;
	if (bits <= POLICY_PROTOCOL_BITS)
		return by_identity ? POLICY_MATCH_L3_PROTO : POLICY_MATCH_PROTO_ONLY;
	return by_identity ? POLICY_MATCH_L3_L4 : POLICY_MATCH_L4_ONLY;
}

/*
 * May a packet of `protocol` to `dport` (network order) pass, the peer being `identity`? 0, DROP_POLICY or
 * DROP_POLICY_DENY. Each lookup gives the longest prefix; a denial by either wins over any permission. Where rules are
 * in force and there are none, nothing passes.
 */
static __always_inline int policy_check(const struct pkt_state *st, __u32 identity, __u8 dir, __u8 protocol,
					__be16 dport, __u8 *match_type)
{
	struct policy_key key = {
		.prefixlen = POLICY_FULL_PREFIX,
		.sec_label = identity,
		.egress = dir == DIR_EGRESS,
		.protocol = protocol,
		.dport = dport,
	};
	const struct policy_entry *exact, *any;
	void *rules = policy_rules(st);

	*match_type = POLICY_MATCH_NONE;
	if (!rules)
		return DROP_POLICY;
	exact = bpf_map_lookup_elem(rules, &key);
	if (exact && exact->deny) {
		*match_type = policy_match_type(exact, 1);
		return DROP_POLICY_DENY;
	}
	key.sec_label = 0;
	any = bpf_map_lookup_elem(rules, &key);
	if (any && any->deny) {
		*match_type = policy_match_type(any, 0);
		return DROP_POLICY_DENY;
	}
	if (exact && (!any || exact->lpm_prefix_length >= any->lpm_prefix_length)) {
		*match_type = policy_match_type(exact, 1);
		return 0;
	}
	if (any) {
		*match_type = policy_match_type(any, 0);
		return 0;
	}
	return DROP_POLICY;
}

/*
 * May the connection in direction `dir` go on that this packet is a reply of, or an error about? An error names
 * no port of it, and is turned down with it.
 */
static __always_inline int policy_check_reply(__u32 identity, __u8 dir, const struct pkt_state *st,
					      const struct pkt_l4 *l4)
{
	__u8 match_type;

	if (st->ct_state != CT_STATE_REPLY)
		return DROP_POLICY;
	return policy_check(st, identity, dir, l4->protocol, l4->sport, &match_type);
}

/* Reports a decision, when somebody listens. */
static __always_inline void policy_notify(struct __sk_buff *ctx, const struct pkt_state *st,
					  __u32 remote, int verdict, __u8 protocol, __be16 dport,
					  __u8 match_type)
{
	if (likely(!(st->observe & OBSERVE_VERDICTS)))
		return;

	struct verdict_notify record = {
		.remote_label = remote,
		.verdict = verdict,
		.dst_port = bpf_ntohs(dport),
		.proto = protocol,
		.dir = st->direction,
		.ipv6 = ctx->protocol == bpf_htons(ETH_P_IPV6),
		.match_type = match_type,
	};

	notify_header_fill(ctx, &record.hdr, NOTIFY_VERDICT, 0, st->endpoint_id);
	notify_send(ctx, &record, sizeof(record), record.hdr.len_cap);
}

#endif
