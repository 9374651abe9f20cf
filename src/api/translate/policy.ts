import type { EndpointPolicy, PolicyProtocol, PolicyRule } from "../../cells/endpoints/types.ts";
import { reservedNames } from "../../cells/identity/index.ts";
import { TrafficDirection } from "../../gen/waggle/v1/common.ts";
import {
  type EndpointPolicy as EndpointPolicyMessage,
  PolicyAction,
  type PolicyPeer as PolicyPeerMessage,
  PolicyProtocol as PolicyProtocolEnum,
  type PolicyRule as PolicyRuleMessage,
} from "../../gen/waggle/v1/endpoint.ts";
import { checkCount, checkEnum, checkLabels, checkRange } from "../validate/fields.ts";
import { quote, type Violations } from "../validate/violations.ts";
import { inverse } from "./enums.ts";

/** Rules of one endpoint. */
const MAX_RULES = 1024;

const protocols = {
  any: PolicyProtocolEnum.ANY,
  tcp: PolicyProtocolEnum.TCP,
  udp: PolicyProtocolEnum.UDP,
  icmp: PolicyProtocolEnum.ICMP,
  sctp: PolicyProtocolEnum.SCTP,
} as const;
const protocolWords = inverse(protocols);

/** Reserved identities that a rule may name; the unknown identity is no peer. */
const peerNames = reservedNames.filter((name) => name !== "unknown");

const nothingEnforced: EndpointPolicy = { enforceIngress: false, enforceEgress: false, rules: [] };

/** Reads a policy; absent means that nothing is enforced. */
export function readPolicy(
  field: string,
  message: EndpointPolicyMessage | undefined,
  violations: Violations,
): EndpointPolicy {
  if (message === undefined) return nothingEnforced;
  checkCount(`${field}.rules`, message.rules.length, 0, MAX_RULES, violations);
  const { enforceIngress, enforceEgress } = message;
  const rules = message.rules
    .slice(0, MAX_RULES)
    .map((rule, index) => readRule(`${field}.rules[${index}]`, rule, violations));
  return { enforceIngress, enforceEgress, rules };
}

function readRule(field: string, message: PolicyRuleMessage, violations: Violations): PolicyRule {
  const { direction, action, port } = message;
  if (direction !== TrafficDirection.INGRESS && direction !== TrafficDirection.EGRESS) {
    violations.add(`${field}.direction`, "neither INGRESS nor EGRESS");
  }
  if (action !== PolicyAction.ALLOW && action !== PolicyAction.DENY) {
    violations.add(`${field}.action`, "neither ALLOW nor DENY");
  }
  checkEnum(`${field}.protocol`, message.protocol, PolicyProtocolEnum, violations);
  const protocol: PolicyProtocol = protocolWords.get(message.protocol) ?? "any";
  checkRange(`${field}.port`, port, 0, 65_535, violations);
  if (port !== 0 && (protocol === "any" || protocol === "icmp")) {
    violations.add(
      `${field}.port`,
      `a port needs the protocol TCP, UDP or SCTP, not ${protocol.toUpperCase()}`,
    );
  }
  return {
    direction: direction === TrafficDirection.EGRESS ? "egress" : "ingress",
    action: action === PolicyAction.DENY ? "deny" : "allow",
    peer: readPeer(`${field}.peer`, message.peer, violations),
    protocol,
    port,
  };
}

function readPeer(
  field: string,
  message: PolicyPeerMessage | undefined,
  violations: Violations,
): PolicyRule["peer"] {
  const peer = message?.peer;
  switch (peer?.$case) {
    case "any":
      if (!peer.value) violations.add(`${field}.any`, "must be true when it is set");
      return { kind: "any" };
    case "reserved":
      if (!peerNames.includes(peer.value)) {
        violations.add(`${field}.reserved`, `${quote(peer.value)} is none of ${peerNames.join(", ")}`);
      }
      return { kind: "reserved", name: peer.value };
    case "labels": {
      const { labels } = peer.value;
      checkLabels(`${field}.labels`, labels, violations);
      if (Object.keys(labels).length === 0) {
        violations.add(`${field}.labels`, "at least one label, or `any` for everyone");
      }
      return { kind: "labels", labels };
    }
    default:
      violations.add(field, "required: any, reserved or labels");
      return { kind: "any" };
  }
}

/** The message of a policy. */
export function policyToMessage(policy: EndpointPolicy): EndpointPolicyMessage {
  const { enforceIngress, enforceEgress, rules } = policy;
  return { enforceIngress, enforceEgress, rules: rules.map(ruleToMessage) };
}

function ruleToMessage(rule: PolicyRule): PolicyRuleMessage {
  return {
    direction: rule.direction === "ingress" ? TrafficDirection.INGRESS : TrafficDirection.EGRESS,
    action: rule.action === "allow" ? PolicyAction.ALLOW : PolicyAction.DENY,
    peer: { peer: peerToMessage(rule.peer) },
    protocol: protocols[rule.protocol],
    port: rule.port,
  };
}

function peerToMessage(peer: PolicyRule["peer"]): PolicyPeerMessage["peer"] {
  switch (peer.kind) {
    case "any":
      return { $case: "any", value: true };
    case "reserved":
      return { $case: "reserved", value: peer.name };
    case "labels":
      return { $case: "labels", value: { labels: { ...peer.labels } } };
  }
}
