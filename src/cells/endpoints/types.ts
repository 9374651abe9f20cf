import type { BootMoment } from "../../datapath/index.ts";
import type { Table } from "../../table/index.ts";
import type { Labels } from "../identity/types.ts";

/**
 * creating: resources are being made; regenerating: ready before, its programs are being replaced;
 * ready: traffic flows and matches the spec; not-ready: traffic flows as it last did, but the newest spec or
 * plugin could not be put in place (see stateReason); restoring: the agent has just started and checks what is
 * there; disconnecting: being removed.
 */
export type EndpointState =
  | "creating"
  | "restoring"
  | "regenerating"
  | "ready"
  | "not-ready"
  | "disconnecting";

/** icmp: ICMP and ICMPv6. */
export type PolicyProtocol = "any" | "tcp" | "udp" | "icmp" | "sctp";

/** One rule: allow or deny one kind of peer, protocol and port. */
export interface PolicyRule {
  readonly direction: "ingress" | "egress";
  readonly action: "allow" | "deny";
  /** Any peer, a reserved identity by name ("host", "world"), or peers that carry all of these labels. */
  readonly peer:
    | { readonly kind: "any" }
    | { readonly kind: "reserved"; readonly name: string }
    | { readonly kind: "labels"; readonly labels: Labels };
  readonly protocol: PolicyProtocol;
  /** Destination port; 0 for all. */
  readonly port: number;
}

export interface EndpointPolicy {
  /** Without enforcement everything is allowed in that direction. */
  readonly enforceIngress: boolean;
  readonly enforceEgress: boolean;
  readonly rules: readonly PolicyRule[];
}

/** What a caller asks for. */
export interface EndpointSpec {
  /** Unique, [a-z0-9]([-a-z0-9./]*[a-z0-9])?, at most 253 bytes: "default/web-1". */
  readonly name: string;
  /** Absolute path of the pod's network namespace; an adopted interface's peer is looked for there. */
  readonly netns: string;
  /** Interface inside the pod. */
  readonly podInterface: string;
  /** Adopt this existing host-side interface instead of creating a veth. */
  readonly hostInterface: string | undefined;
  /** Wanted addresses, or undefined for the next free ones. */
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
  readonly labels: Labels;
  readonly policy: EndpointPolicy;
}

/** An endpoint as the agent has it. */
export interface Endpoint {
  /** 1..65535, the datapath's lxc_id. */
  readonly id: number;
  readonly spec: EndpointSpec;
  readonly state: EndpointState;
  readonly stateReason: string;
  readonly ipv4: string;
  /** Empty without IPv6. */
  readonly ipv6: string;
  readonly identity: number;
  /** Host-side device. */
  readonly hostInterface: string;
  readonly ifindex: number;
  /** MAC of the pod's interface, and of the host-side device. */
  readonly mac: string;
  readonly nodeMac: string;
  /** Counts how often it was put in place in the datapath. */
  readonly generation: number;
  readonly createdAt: string;
  /** The same moment on the datapath's clock: connections of an earlier holder of the address end before it. */
  readonly createdOn?: BootMoment;
}

/** What is to change of an endpoint; all else stays. */
export interface EndpointChange {
  readonly labels?: Labels;
  readonly policy?: EndpointPolicy;
}

export interface EndpointManager {
  readonly table: Table<Endpoint, number>;
  get(id: number): Endpoint | undefined;
  byName(name: string): Endpoint | undefined;
  /** Resolves when traffic flows; on failure everything is undone. @throws RefusalError */
  create(spec: EndpointSpec, signal?: AbortSignal): Promise<Endpoint>;
  /** Changes labels or policy; resolves when enforced. */
  update(id: number, change: EndpointChange, signal?: AbortSignal): Promise<Endpoint>;
  /** Resolves when nothing of it is left. @throws RefusalError NOT_FOUND */
  delete(id: number, signal?: AbortSignal): Promise<void>;
  /** Loads programs and hooks anew, also where those that run are right; resolves when they are in place. */
  regenerate(id: number, reason: string, signal?: AbortSignal): Promise<Endpoint>;
}
