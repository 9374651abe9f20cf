/**
 * Why the datapath dropped a packet: numbers and words as in Cilium's public table (api/v1/flow DropReason and
 * bpf/lib/drop_reasons.h there), plus Waggle's own from 220. The mirror of
 * bpf/include/waggle/drop_reasons.h, and of the source files numbered in waggle/internal/report.h.
 */

/** The drop reasons that Waggle's programs give, without the sign they carry in C. */
export const DropReason = {
  invalidSourceIp: 132,
  policyDenied: 133,
  invalidPacket: 134,
  fragmentationNeeded: 136,
  ctUnknownProtocol: 137,
  unknownL3: 139,
  missedTailCall: 140,
  writeError: 141,
  noTunnelKey: 147,
  unknownTarget: 150,
  l4Checksum: 154,
  ctCreateFailed: 155,
  invalidExtensionHeader: 156,
  noService: 158,
  noNatMapping: 167,
  natUnsupportedProtocol: 168,
  invalidIdentity: 171,
  unknownSender: 172,
  fragmentNotFound: 175,
  policyDenyRule: 181,
  vlanFiltered: 182,
  ttlExceeded: 196,
  rateLimited: 198,
  endpointNotReady: 203,
  plugin: 220,
  multicast: 221,
} as const;
export type DropReason = (typeof DropReason)[keyof typeof DropReason];

const NAMES: ReadonlyMap<number, string> = new Map([
  [0, "Success"],
  [1, "ICMP error suppressed"],
  [2, "Invalid packet"],
  [3, "Plain Text"],
  [4, "Interface Decrypted"],
  [5, "LB: No backend slot entry found"],
  [6, "LB: No backend entry found"],
  [7, "LB: Reverse entry update failed"],
  [8, "LB: Reverse entry stale"],
  [9, "Fragmented packet"],
  [10, "Fragmented packet entry update failed"],
  [11, "Missed tail call to custom program"],
  [12, "Interface Decrypting"],
  [13, "Interface Encrypting"],
  [14, "LB: sock cgroup: Reverse entry delete succeeded"],
  [15, "MTU error message"],
  [130, "Invalid source mac"],
  [131, "Invalid destination mac"],
  [132, "Invalid source ip"],
  [133, "Policy denied"],
  [134, "Invalid packet"],
  [135, "CT: Truncated or invalid header"],
  [136, "Fragmentation needed"],
  [137, "CT: Unknown L4 protocol"],
  [139, "Unsupported L3 protocol"],
  [140, "Missed tail call"],
  [141, "Error writing to packet"],
  [142, "Unknown L4 protocol"],
  [143, "Unknown ICMPv4 code"],
  [144, "Unknown ICMPv4 type"],
  [145, "Unknown ICMPv6 code"],
  [146, "Unknown ICMPv6 type"],
  [147, "Error retrieving tunnel key"],
  [150, "Unknown L3 target address"],
  [151, "Stale or unroutable IP"],
  [152, "No matching local container found"],
  [153, "Error while correcting L3 checksum"],
  [154, "Error while correcting L4 checksum"],
  [155, "CT: Map insertion failed"],
  [156, "Invalid IPv6 extension header"],
  [157, "IP fragmentation not supported"],
  [158, "Service backend not found"],
  [160, "No tunnel/encapsulation endpoint (datapath BUG!)"],
  [161, "NAT 46/64 not enabled"],
  [162, "Reached EDT rate-limiting drop horizon"],
  [163, "Unknown connection tracking state"],
  [164, "Local host is unreachable"],
  [165, "No configuration available to perform policy decision"],
  [166, "Unsupported L2 protocol"],
  [167, "No mapping for NAT masquerade"],
  [168, "Unsupported protocol for NAT masquerade"],
  [169, "FIB lookup failed"],
  [170, "Encapsulation traffic is prohibited"],
  [171, "Invalid identity"],
  [172, "Unknown sender"],
  [173, "NAT not needed"],
  [174, "Is a ClusterIP"],
  [175, "First logical datagram fragment not found"],
  [176, "Forbidden ICMPv6 message"],
  [177, "Denied by LB src range check"],
  [178, "Socket lookup failed"],
  [179, "Socket assign failed"],
  [180, "Proxy redirection not supported for protocol"],
  [181, "Policy denied by denylist"],
  [182, "VLAN traffic disallowed by VLAN filter"],
  [183, "Incorrect VNI from VTEP"],
  [184, "Failed to update or lookup TC buffer"],
  [185, "No SID was found for the IP address"],
  [186, "SRv6 state was removed during tail call"],
  [187, "L3 translation from IPv4 to IPv6 failed (NAT46)"],
  [188, "L3 translation from IPv6 to IPv4 failed (NAT64)"],
  [189, "Authentication required"],
  [190, "No conntrack map found"],
  [191, "No nat map found"],
  [192, "Invalid ClusterID"],
  [193, "Unsupported packet for DSR encapsulation"],
  [194, "No egress gateway found"],
  [195, "Traffic is unencrypted"],
  [196, "TTL exceeded"],
  [197, "No node ID found"],
  [198, "Rate limited"],
  [199, "IGMP handled"],
  [200, "IGMP subscribed"],
  [201, "Multicast handled"],
  [202, "Host datapath not ready"],
  [203, "Endpoint policy program not available"],
  [204, "No Egress IP configured"],
  [205, "Punt to proxy"],
  [220, "Dropped by plugin"],
  [221, "Multicast or broadcast not supported"],
]);

/** The reason's number without a sign: programs return it negative, metrics and notifications hold it positive. */
function reasonNumber(reason: number): number {
  return Math.abs(reason);
}

/** Words for a drop or forward reason, of either sign: "Policy denied"; "Reason 250" for one not known. */
export function reasonName(reason: number): string {
  const number = reasonNumber(reason);
  return NAMES.get(number) ?? `Reason ${number}`;
}

/** True for reasons that mean a packet was dropped; smaller ones only count events (Cilium's convention). */
export function isDropReason(reason: number): boolean {
  return reasonNumber(reason) >= 16;
}

const FILES: ReadonlyMap<number, string> = new Map([
  [1, "bpf_lxc.c"],
  [2, "bpf_host.c"],
  [3, "lxc_egress.h"],
  [4, "lxc_ingress.h"],
  [5, "host.h"],
  [6, "arp.h"],
  [7, "lxc_policy.h"],
  [8, "plugin.h"],
  [9, "bpf_overlay.c"],
  [10, "overlay.h"],
  [11, "nodeport.h"],
  [12, "masquerade.h"],
  [13, "ndp.h"],
  [14, "lxc_short.h"],
  [15, "decap_direct.h"],
]);

/** C source file of a drop, by its number in notifications and metrics; "file 99" for one not known. */
export function sourceFileName(file: number): string {
  return FILES.get(file) ?? `file ${file}`;
}
