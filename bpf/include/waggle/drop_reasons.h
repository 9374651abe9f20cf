// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Why a packet was dropped: the one table, mirrored by src/datapath/drop-reasons.ts.
 *
 * Numbers are negative in C; metrics and notifications carry the absolute value, which has to fit in a
 * byte. -130 to -205 are the numbers established in the field (Cilium's monitor API), kept so
 * that tools and habits carry over; Waggle's own begin at -220.
 */
#ifndef __WAGGLE_DROP_REASONS_H
#define __WAGGLE_DROP_REASONS_H

#define DROP_INVALID_SIP (-132)	       /* source address is not the sender's */
#define DROP_POLICY (-133)	       /* no policy entry allows it */
#define DROP_INVALID (-134)	       /* malformed or truncated packet */
#define DROP_FRAG_NEEDED (-136)	       /* longer than the way ahead takes, and not to be fragmented */
#define DROP_CT_UNKNOWN_PROTO (-137)   /* protocol that conntrack does not know */
#define DROP_UNKNOWN_L3 (-139)	       /* neither IPv4, IPv6 nor ARP, or IP that is switched off */
#define DROP_MISSED_TAIL_CALL (-140)   /* a program array slot was empty */
#define DROP_WRITE_ERROR (-141)	       /* the kernel refused to change the packet */
#define DROP_NO_TUNNEL_KEY (-147)      /* came out of the tunnel without a key */
#define DROP_UNKNOWN_TARGET (-150)     /* address of the cluster's pods, but no such pod */
#define DROP_CSUM_L4 (-154)	       /* the kernel refused to update the checksum */
#define DROP_CT_CREATE_FAILED (-155)   /* conntrack table full */
#define DROP_INVALID_EXTHDR (-156)     /* IPv6 extension headers, malformed or too many */
#define DROP_NO_SERVICE (-158)	       /* no such service, or one without a usable backend */
#define DROP_NAT_NO_MAPPING (-167)     /* no port left for a translated source, or an error about none */
#define DROP_NAT_UNSUPP_PROTO (-168)   /* nothing in it tells connections apart, for translation */
#define DROP_INVALID_IDENTITY (-171)   /* a tunnel key without an identity that the sender may have */
#define DROP_UNKNOWN_SENDER (-172)     /* out of the tunnel, but not from a node of the cluster */
#define DROP_FRAG_NOT_FOUND (-175)     /* later fragment whose first one was not seen */
#define DROP_POLICY_DENY (-181)	       /* a policy entry denies it */
#define DROP_VLAN_FILTERED (-182)      /* VLAN tag on a pod's frame */
#define DROP_TTL_EXCEEDED (-196)       /* time to live ran out */
#define DROP_RATE_LIMITED (-198)	       /* no answer to it is sent: there have been too many */
#define DROP_EP_NOT_READY (-203)       /* destination endpoint has no program yet */
#define DROP_BY_PLUGIN (-220)	       /* verdict of a plugin */
#define DROP_MULTICAST (-221)	       /* multicast or broadcast from a pod or to pods */

#endif
