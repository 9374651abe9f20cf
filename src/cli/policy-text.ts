// Policy as people write it: rules as short sentences, or a YAML or JSON file.

import { parse } from "yaml";
import { TrafficDirection } from "../gen/waggle/v1/common.ts";
import {
  type EndpointPolicy,
  PolicyAction,
  type PolicyPeer,
  PolicyProtocol,
  type PolicyRule,
} from "../gen/waggle/v1/endpoint.ts";
import { UsageError } from "./exit.ts";
import { word } from "./output/plain.ts";

/** Enums of the messages in this file, for --json. */
export const policyEnums = {
  direction: TrafficDirection,
  action: PolicyAction,
  protocol: PolicyProtocol,
} as const;

export const ruleSyntax =
  "(allow|deny) (ingress|egress) (any|host|world|KEY=VALUE[,KEY=VALUE]) [any|icmp|tcp|udp|sctp[/PORT]]";

const reserved = new Set(["host", "world", "unmanaged", "health", "init", "remote-node"]);

function peer(text: string): PolicyPeer["peer"] {
  if (text === "any") return { $case: "any", value: true };
  if (reserved.has(text)) return { $case: "reserved", value: text };
  const labels = text.split(",").map((pair) => {
    const at = pair.indexOf("=");
    if (at < 1) throw new UsageError(`${JSON.stringify(pair)} is no peer; a rule is written: ${ruleSyntax}`);
    return [pair.slice(0, at), pair.slice(at + 1)] as const;
  });
  return { $case: "labels", value: { labels: Object.fromEntries(labels) } };
}

/** "allow ingress app=web tcp/80" as a rule. @throws UsageError */
function parseRule(text: string): PolicyRule {
  const [action, direction, who, what = "any", ...more] = text.trim().split(/\s+/);
  const protocol = /^(any|tcp|udp|icmp|sctp)(?:\/(\d+))?$/.exec(what);
  if (
    (action !== "allow" && action !== "deny") ||
    (direction !== "ingress" && direction !== "egress") ||
    who === undefined ||
    protocol === null ||
    more.length > 0
  ) {
    throw new UsageError(`${JSON.stringify(text)} is no rule; one is written: ${ruleSyntax}`);
  }
  return {
    action: action === "allow" ? PolicyAction.ALLOW : PolicyAction.DENY,
    direction: direction === "ingress" ? TrafficDirection.INGRESS : TrafficDirection.EGRESS,
    peer: { peer: peer(who) },
    protocol: PolicyProtocol[protocol[1]!.toUpperCase() as "ANY" | "TCP" | "UDP" | "ICMP" | "SCTP"],
    port: Number(protocol[2] ?? 0),
  };
}

function peerText({ peer }: PolicyPeer): string {
  switch (peer?.$case) {
    case "labels":
      return Object.entries(peer.value.labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(",");
    case "reserved":
      return peer.value;
    default:
      return "any";
  }
}

/** A rule in the words that `parseRule` reads. */
export const ruleText = (rule: PolicyRule): string =>
  [
    word(PolicyAction, rule.action),
    word(TrafficDirection, rule.direction),
    rule.peer === undefined ? "any" : peerText(rule.peer),
    `${word(PolicyProtocol, rule.protocol)}${rule.port === 0 ? "" : `/${rule.port}`}`,
  ].join(" ");

/** Reads a file of the form `{ enforce: [ingress], rules: ["allow ingress app=web tcp/80"] }`. @throws UsageError */
export function parsePolicyFile(text: string, where: string): EndpointPolicy {
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    throw new UsageError(`${where}: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof document !== "object" || document === null || Array.isArray(document)) {
    throw new UsageError(`${where}: a policy has the fields enforce and rules`);
  }
  const unknown = Object.keys(document).filter((key) => key !== "enforce" && key !== "rules");
  if (unknown.length > 0)
    throw new UsageError(`${where}: unknown field ${unknown.join(", ")}; there are enforce and rules`);
  const texts = (field: "enforce" | "rules"): readonly string[] | undefined => {
    const value = (document as Record<string, unknown>)[field];
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((one): one is string => typeof one === "string")) return value;
    throw new UsageError(`${where}: ${field} is a list of words`);
  };
  return policy(texts("rules") ?? [], texts("enforce"));
}

/**
 * A policy of rules. Without `enforce`, the directions that the rules speak of are enforced: an allow rule means
 * nothing where everything is allowed. @throws UsageError
 */
export function policy(rules: readonly string[], enforce?: readonly string[]): EndpointPolicy {
  const parsed = rules.map(parseRule);
  for (const direction of enforce ?? []) {
    if (direction !== "ingress" && direction !== "egress" && direction !== "none") {
      throw new UsageError(`enforce takes ingress, egress or none, not ${JSON.stringify(direction)}`);
    }
  }
  const enforced = (direction: "ingress" | "egress"): boolean =>
    enforce?.includes(direction) ??
    parsed.some(
      (rule) => rule.action === PolicyAction.ALLOW && word(TrafficDirection, rule.direction) === direction,
    );
  return { enforceIngress: enforced("ingress"), enforceEgress: enforced("egress"), rules: parsed };
}
