import { DatapathError } from "../errors.ts";
import { MapType } from "../types.ts";
import { defineMap, type MapDefinition } from "./definition.ts";
import { padding, port, struct, transform, u8, u32 } from "./layout.ts";
import { protocolName } from "./names.ts";

/** Name of the policy map in C; each endpoint has one of its own, see `policyMapName`. */
export const POLICY_MAP = "cilium_policy";

/** Bits of the key that always take part in the match: label 32 and egress 8. */
const STATIC_PREFIX_BITS = 40;
const PROTOCOL_BITS = 8;
const PORT_BITS = 16;

/** Key of a policy map: what one rule matches. */
export interface PolicyKey {
  /** Identity of the peer; 0 matches every peer. */
  readonly identity: number;
  readonly direction: "ingress" | "egress";
  /** IANA number; 0 matches every protocol, and then every port. */
  readonly protocol: number;
  /** Destination port; 0 matches every port. */
  readonly port: number;
  /** Leading bits of `port` that must match, for ranges; undefined for 16, or for 0 when `port` is 0. */
  readonly portBits?: number;
}

/** Value of a policy map: what becomes of a match. */
export interface PolicyEntry {
  readonly deny: boolean;
  /** Leading bits of protocol and port that the key fixes (0, 8 … 24): the longer of two matches wins. */
  readonly prefixLength: number;
  readonly proxyPort: number;
  readonly authType: number;
  readonly proxyPriority: number;
  /** Any number; comes back in notifications. */
  readonly cookie: number;
}

const DENY = 1;
const PREFIX_SHIFT = 3;

/** Bits of protocol and port that a key fixes: 0 neither, 8 the protocol, 24 both. */
export function policyPrefixLength(key: PolicyKey): number {
  if (key.protocol === 0) return 0;
  return PROTOCOL_BITS + (key.portBits ?? (key.port === 0 ? 0 : PORT_BITS));
}

/** The entry that allows or denies what the key matches. */
export function policyEntry(key: PolicyKey, deny: boolean): PolicyEntry {
  return {
    deny,
    prefixLength: policyPrefixLength(key),
    proxyPort: 0,
    authType: 0,
    proxyPriority: 0,
    cookie: 0,
  };
}

const policyKey = transform(
  struct("policy_key", {
    prefixlen: u32,
    secLabel: u32,
    egress: u8,
    protocol: u8,
    dport: port,
  }),
  (key: PolicyKey) => {
    if (key.protocol === 0 && key.port !== 0) {
      throw new DatapathError({
        operation: "encode",
        object: "policy key",
        detail: `port ${key.port} needs a protocol`,
        status: "INVALID_ARGUMENT",
      });
    }
    return {
      prefixlen: STATIC_PREFIX_BITS + policyPrefixLength(key),
      secLabel: key.identity,
      egress: key.direction === "egress" ? 1 : 0,
      protocol: key.protocol,
      dport: key.port,
    };
  },
  (members): PolicyKey => {
    const portBits = Math.max(0, members.prefixlen - STATIC_PREFIX_BITS - PROTOCOL_BITS);
    const plain = portBits === (members.dport === 0 ? 0 : PORT_BITS);
    return {
      identity: members.secLabel,
      direction: (members.egress & 1) === 1 ? "egress" : "ingress",
      protocol: members.protocol,
      port: members.dport,
      ...(plain ? {} : { portBits }),
    };
  },
);

const policyValue = transform(
  struct("policy_entry", {
    proxyPort: port,
    /** deny:1, reserved:2, lpm_prefix_length:5 */
    flags: u8,
    authType: u8,
    proxyPortPriority: u8,
    pad: padding(3),
    cookie: u32,
  }),
  (entry: PolicyEntry) => ({
    proxyPort: entry.proxyPort,
    flags: (entry.deny ? DENY : 0) | (entry.prefixLength << PREFIX_SHIFT),
    authType: entry.authType,
    proxyPortPriority: entry.proxyPriority,
    cookie: entry.cookie,
  }),
  (members): PolicyEntry => ({
    deny: (members.flags & DENY) !== 0,
    prefixLength: members.flags >>> PREFIX_SHIFT,
    proxyPort: members.proxyPort,
    authType: members.authType,
    proxyPriority: members.proxyPortPriority,
    cookie: members.cookie,
  }),
);

/** Rules of one endpoint. The agent writes; bpf_lxc reads it through `waggle_policies`. */
export const policyMap = defineMap<PolicyKey, PolicyEntry>({
  name: POLICY_MAP,
  type: MapType.lpmTrie,
  maxEntries: 16384,
  flags: 1,
  key: policyKey,
  value: policyValue,
  formatKey: (key) => {
    const bits = key.portBits === undefined ? "" : `&${key.portBits}`;
    return (
      `${key.direction === "egress" ? "Egress" : "Ingress"}: ${key.identity} ` +
      `${key.port}${bits}/${protocolName(key.protocol)}`
    );
  },
  formatValue: (entry) =>
    `${entry.deny ? "Deny" : "Allow"} ProxyPort=${entry.proxyPort} AuthType=${entry.authType} ` +
    `PrefixLen=${entry.prefixLength} Cookie=${entry.cookie}`,
});

/** Name of an endpoint's policy map and of its pin: "cilium_policy_00012". */
export function policyMapName(endpointId: number): string {
  return `${POLICY_MAP}_${String(endpointId).padStart(5, "0")}`;
}

/** The policy map of one endpoint. */
export function policyMapOf(endpointId: number): MapDefinition<PolicyKey, PolicyEntry> {
  return { ...policyMap, name: policyMapName(endpointId) };
}
