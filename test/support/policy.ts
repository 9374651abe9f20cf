// Policies, written shortly.

import { TrafficDirection } from "../../src/gen/waggle/v1/common.ts";
import {
  type EndpointPolicy,
  PolicyAction,
  type PolicyPeer,
  PolicyProtocol,
  type PolicyRule,
} from "../../src/gen/waggle/v1/endpoint.ts";
import type { World } from "../../src/playground/index.ts";

/** Any peer. */
export const anyone: PolicyPeer = { peer: { $case: "any", value: true } };

/** A reserved identity: "world", "host". */
export const reserved = (name: string): PolicyPeer => ({ peer: { $case: "reserved", value: name } });

/** Peers that carry all of these labels. */
export const labelled = (labels: Record<string, string>): PolicyPeer => ({
  peer: { $case: "labels", value: { labels } },
});

const protocols = {
  any: PolicyProtocol.ANY,
  tcp: PolicyProtocol.TCP,
  udp: PolicyProtocol.UDP,
  icmp: PolicyProtocol.ICMP,
  sctp: PolicyProtocol.SCTP,
} as const;

/** "any", "icmp", "tcp", "tcp/80", "udp/53". */
export type Traffic = "any" | "icmp" | "tcp" | "udp" | "sctp" | `tcp/${number}` | `udp/${number}`;

function rule(
  action: PolicyAction,
  direction: TrafficDirection,
  peer: PolicyPeer,
  traffic: Traffic,
): PolicyRule {
  const [protocol, port = "0"] = traffic.split("/");
  return { action, direction, peer, protocol: protocols[protocol as "any"], port: Number(port) };
}

const { INGRESS, EGRESS } = TrafficDirection;
const { ALLOW, DENY } = PolicyAction;

export const allowFrom = (peer: PolicyPeer, traffic: Traffic = "any"): PolicyRule =>
  rule(ALLOW, INGRESS, peer, traffic);
export const denyFrom = (peer: PolicyPeer, traffic: Traffic = "any"): PolicyRule =>
  rule(DENY, INGRESS, peer, traffic);
export const allowTo = (peer: PolicyPeer, traffic: Traffic = "any"): PolicyRule =>
  rule(ALLOW, EGRESS, peer, traffic);
export const denyTo = (peer: PolicyPeer, traffic: Traffic = "any"): PolicyRule =>
  rule(DENY, EGRESS, peer, traffic);

/** Nothing is enforced. */
export const open: EndpointPolicy = { enforceIngress: false, enforceEgress: false, rules: [] };

/** Enforces ingress with these rules. */
export const ingress = (...rules: PolicyRule[]): EndpointPolicy => ({ ...open, enforceIngress: true, rules });

/** Enforces egress with these rules. */
export const egress = (...rules: PolicyRule[]): EndpointPolicy => ({ ...open, enforceEgress: true, rules });

/** Puts a policy in force. @throws CallError */
export async function setPolicy(world: World, pod: string, policy: EndpointPolicy): Promise<void> {
  await world.client.endpoints.updateEndpoint({
    endpoint: { ref: { $case: "id", value: world.pod(pod).id } },
    labels: undefined,
    policy,
  });
}

/** Replaces the labels. @throws CallError */
export async function setLabels(world: World, pod: string, labels: Record<string, string>): Promise<void> {
  await world.client.endpoints.updateEndpoint({
    endpoint: { ref: { $case: "id", value: world.pod(pod).id } },
    labels: { labels },
    policy: undefined,
  });
}
