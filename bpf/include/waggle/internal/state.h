// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What the stages of one packet's journey tell each other. PRIVATE: plugins use <waggle/plugin.h>.
 *
 * The programs of a journey run one after another on one CPU with bottom halves disabled, so one record
 * a CPU is enough: of a plain array, by the CPU's number, which takes fewer loads than the kernel's per-CPU arrays and
 * is asked for by each stage. An entry program resets it; it does not survive a redirect or the host stack (there,
 * the identity travels in the packet's mark). What the headers say is kept from stage to stage only while no
 * plugin ran in between that may have rewritten the packet (PARSED_CB).
 */
#ifndef __WAGGLE_INTERNAL_STATE_H
#define __WAGGLE_INTERNAL_STATE_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <waggle/internal/addr.h>
#include <waggle/internal/l4.h>

/* Directions as the pod sees them; also the `dir` of cilium_metrics. */
#define DIR_INGRESS 1
#define DIR_EGRESS 2

/* What conntrack found. */
#define CT_STATE_UNKNOWN 0 /* the conntrack stage has not run */
#define CT_STATE_NEW 1
#define CT_STATE_ESTABLISHED 2
#define CT_STATE_REPLY 3
#define CT_STATE_RELATED 4

/* Bits of pkt_state.ct_bits: what conntrack found, beside the state. */
#define CT_B_DENIED (1 << 0)  /* policy has turned the connection down since it began */
#define CT_B_TX (1 << 1)      /* goes the way of the connection's first packet */
#define CT_B_RX (1 << 2)      /* goes back */
#define CT_B_GUESSED (1 << 3) /* which of the two was decided by its ports first */
#define CT_B_JOIN (1 << 4)    /* there is an entry already, in which this end has no view yet */
#define CT_B_COUNTED (1 << 5) /* the packet is accounted to its connection */
#define CT_B_OVER (1 << 6)    /* the connection ends with this packet, and may be forgotten */

/*
 * The word of the packet's control block (skb->cb, what programs of one run share) that says where the hook programs'
 * counters of this pod or device begin: waggle_hook_stats.
 */
#define HOOK_STATS_CB 4

/*
 * The word that says whether pkt_state has the packet's headers as they are: 4 or 6, their family. An entry program
 * clears it, and so does each plugin that may have changed the packet, as it goes on.
 */
#define PARSED_CB 3

/* How the last ingress stage hands the packet over. */
#define DELIVER_STACK 0 /* we run on the egress of the pod's device: let it pass */
#define DELIVER_PEER 1	/* we run on some ingress: bpf_redirect_peer() into the pod */

/* Bits of pkt_state.observe, copied from waggle_runtime when the journey begins. */
#define OBSERVE_TRACE (1 << 0)
#define OBSERVE_VERDICTS (1 << 1)

/* Errors that a stage can have sent to the packet's sender: pkt_state.icmp_error. */
#define ICMP_ERROR_TTL_EXCEEDED 1
#define ICMP_ERROR_TOO_BIG 2 /* "fragmentation needed"; the MTU is pkt_state.icmp_mtu */
#define ICMP_ERROR_PORT_UNREACHABLE 3
#define ICMP_ERROR_HOST_UNREACHABLE 4

/* That a machine may have: with more, the agent does not start. */
#define STATE_CPUS 4096

struct pkt_state {
	__u64 pad; /* a plain array's records begin 8 bytes before a cache line (Linux 6.18) */
	__u32 src_identity;  /* 0: not looked up yet */
	__u32 dst_identity;  /* 0: not looked up yet */
	__u16 endpoint_id;   /* the pod whose stages run now; 0: the node's */
	__u8 direction;	     /* DIR_* */
	__u8 delivery;	     /* DELIVER_* */
	__u8 ct_state;	     /* CT_STATE_* */
	__u8 observe;	     /* OBSERVE_* */
	__u16 rev_nat_index; /* egress: to be remembered; ingress: to be undone. Host order */
	__be16 orig_dport;   /* destination port before service translation */
	__be16 nat_port;     /* of nat_addr; 0: there is none */
	__be32 tunnel_ipv4;  /* node of the destination, known with dst_identity; 0: none */
	__u16 drop_line;     /* where the drop was decided, for the notification */
	__u8 drop_file;
	__u8 drop_reason; /* with icmp_error: |DROP_*| */
	__u8 icmp_error;  /* ICMP_ERROR_*, for the stage that sends it */
	__u8 ct_bits;	  /* CT_B_* */
	__u16 icmp_mtu;
	union ip_addr orig_daddr; /* destination before service translation; all zero: none took place */
	/*
	 * What a client of a service asked for, when the reverse NAT table does not say: to be remembered with the
	 * connection (egress), and the source of its replies then (ingress).
	 */
	union ip_addr nat_addr;
	/* As the headers are: with PARSED_CB alone. */
	union {
		struct pkt_v4 pkt_v4;
		struct pkt_v6 pkt_v6;
	};
	__u32 now_s;	/* monotonic clock, read in the tick `tick` */
	__u32 ct_other; /* with CT_B_TX or CT_B_RX: how the other end knows the connection (ct_entry.since) */
	__u64 tick;	/* jiffies; also from an earlier journey */
	__u64 apart[7]; /* and `pad`: on whatever kernel, no two CPUs write to one cache line */
};

/* What a journey begins without: all up to the headers. */
#define PKT_STATE_RESET_OFF __builtin_offsetof(struct pkt_state, src_identity)
#define PKT_STATE_RESET (__builtin_offsetof(struct pkt_state, pkt_v4) - PKT_STATE_RESET_OFF)

_Static_assert(PKT_STATE_RESET == 64, "what is set back is one cache line");
_Static_assert(sizeof(struct pkt_state) == 192, "struct pkt_state is 192 bytes");

/* Written by every stage, read by every stage and by plugin accessors. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, STATE_CPUS);
	__type(key, __u32);
	__type(value, struct pkt_state);
} waggle_scratch SEC(".maps");

/* The record of the packet at hand. The verifier wants the NULL case handled; it cannot happen. */
static __always_inline struct pkt_state *state_get(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&waggle_scratch, &cpu);
}

#endif
