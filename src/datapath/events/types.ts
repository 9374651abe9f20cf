/** Notifications of the datapath, as the agent sees them. Layouts: bpf/lib/notify.h, which follows Cilium's. */

/** What every notification carries. */
export interface EventHeader {
  /** Endpoint whose program sent it; 0 on the node's own devices. */
  readonly source: number;
  /** The kernel's flow hash of the packet. */
  readonly hash: number;
  /** Bytes of the packet, headers included. */
  readonly originalLength: number;
  /** Start of the frame, from the Ethernet header, at most 128 bytes. */
  readonly payload: Buffer;
}

/** A packet was dropped. */
export interface DropEvent extends EventHeader {
  readonly kind: "drop";
  /** Number of the reason, without sign. */
  readonly reason: number;
  readonly reasonName: string;
  /** The reason's detail, such as a helper's negative result; 0 for none. */
  readonly extError: number;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  /** Endpoint the packet was for; 0 when it is not local or not known. */
  readonly destinationEndpoint: number;
  /** Place in the C sources. */
  readonly file: number;
  readonly line: number;
  readonly ifindex: number;
}

/** Where in the datapath a trace was taken. */
export type ObservationPoint =
  | "to-endpoint"
  | "to-proxy"
  | "to-host"
  | "to-stack"
  | "to-overlay"
  | "from-endpoint"
  | "from-host"
  | "from-stack"
  | "from-overlay"
  | "from-network"
  | "to-network"
  | "unknown";

/** What connection tracking knew of the packet. */
export type ConnectionState = "new" | "established" | "reply" | "related" | "unknown";

/** A packet passed a point of the datapath. */
export interface TraceEvent extends EventHeader {
  readonly kind: "trace";
  readonly point: ObservationPoint;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  /** Endpoint the packet is for; 0 when it is not local. */
  readonly destinationEndpoint: number;
  readonly connection: ConnectionState;
  /** Device it goes to or came from; 0 when not known. */
  readonly ifindex: number;
  /** Address before translation; undefined when it was not changed. */
  readonly originalIp: string | undefined;
}

/** Policy was asked about a new connection. */
export interface VerdictEvent extends EventHeader {
  readonly kind: "verdict";
  readonly remoteIdentity: number;
  readonly action: "allow" | "deny" | "redirect";
  /** 0 allowed; negative: minus the drop reason's number; positive: proxy port. */
  readonly verdict: number;
  readonly reasonName: string;
  readonly direction: "ingress" | "egress";
  readonly destinationPort: number;
  readonly protocol: number;
  readonly ipv6: boolean;
  /** Which kind of rule matched. */
  readonly match: PolicyMatch;
  readonly audited: boolean;
  readonly authType: number;
}

/** Kinds of rule that can match: by peer, protocol and port, from none of them to all. */
export type PolicyMatch =
  | "none"
  | "L3-Only"
  | "L3-L4"
  | "L4-Only"
  | "all"
  | "L3-Proto"
  | "Proto-Only"
  | "unknown";

/** A notification of a kind or version that this agent does not decode. */
export interface UnknownEvent {
  readonly kind: "unknown";
  /** Type byte; -1 for an empty or truncated record. */
  readonly type: number;
  readonly raw: Buffer;
}

/** Any notification in `cilium_events`. */
export type DatapathEvent = DropEvent | TraceEvent | VerdictEvent | UnknownEvent;
