import { isIPv4, isIPv6 } from "node:net";
import { isAbsolute, normalize } from "node:path";
import { type FieldViolation, invalidArgument } from "../errors.ts";
import { labelViolations, reservedNames } from "../identity/index.ts";
import type { EndpointPolicy, EndpointSpec, PolicyProtocol, PolicyRule } from "./types.ts";

const endpointName = /^[a-z0-9]([-a-z0-9./_]{0,251}[a-z0-9])?$/;
/** What the kernel takes for an interface name (dev_valid_name in net/core/dev.c), less what shells trip over. */
const interfaceName = /^[A-Za-z0-9_][-A-Za-z0-9_.]{0,14}$/;
const mostRules = 4096;
const withPorts = new Set<PolicyProtocol>(["tcp", "udp", "sctp"]);
const reservedPeers = new Set<string>(reservedNames);

/** @throws RefusalError INVALID_ARGUMENT with a violation for every field that is wrong */
export function validateSpec(spec: EndpointSpec): void {
  const violations: FieldViolation[] = [];
  const refuse = (field: string, description: string): void => {
    violations.push({ field: `spec.${field}`, description });
  };
  if (!endpointName.test(spec.name)) {
    refuse(
      "name",
      `${quote(spec.name)} must be 1 to 253 of a-z, 0-9 and -./_, beginning and ending with a letter or digit`,
    );
  }
  if (!isAbsolute(spec.netns) || normalize(spec.netns) !== spec.netns || spec.netns.includes("\0")) {
    refuse("netns", `${quote(spec.netns)} is no absolute path such as /run/netns/pod1`);
  }
  if (!interfaceName.test(spec.podInterface)) {
    refuse("pod_interface", `${quote(spec.podInterface)} is no interface name of 1 to 15 characters`);
  }
  if (spec.hostInterface !== undefined && !interfaceName.test(spec.hostInterface)) {
    refuse("host_interface", `${quote(spec.hostInterface)} is no interface name of 1 to 15 characters`);
  }
  if (spec.ipv4 !== undefined && !isIPv4(spec.ipv4)) refuse("ipv4", `${quote(spec.ipv4)} is no IPv4 address`);
  if (spec.ipv6 !== undefined && (!isIPv6(spec.ipv6) || spec.ipv6.includes("%"))) {
    refuse("ipv6", `${quote(spec.ipv6)} is no IPv6 address`);
  }
  violations.push(
    ...labelViolations(spec.labels, "spec.labels"),
    ...policyViolations(spec.policy, "spec.policy"),
  );
  if (violations.length > 0) throw invalidArgument(violations);
}

/** @throws RefusalError INVALID_ARGUMENT */
export function validatePolicy(policy: EndpointPolicy): void {
  const violations = policyViolations(policy, "policy");
  if (violations.length > 0) throw invalidArgument(violations);
}

function policyViolations(policy: EndpointPolicy, path: string): readonly FieldViolation[] {
  if (policy.rules.length > mostRules) {
    return [
      {
        field: `${path}.rules`,
        description: `${policy.rules.length} rules, at most ${mostRules} are allowed`,
      },
    ];
  }
  return policy.rules.flatMap((rule, index) => ruleViolations(rule, `${path}.rules[${index}]`));
}

function ruleViolations(rule: PolicyRule, path: string): readonly FieldViolation[] {
  const violations: FieldViolation[] = [];
  if (!Number.isInteger(rule.port) || rule.port < 0 || rule.port > 65_535) {
    violations.push({ field: `${path}.port`, description: `${rule.port} is no port from 0 (all) to 65535` });
  }
  if (rule.port !== 0 && !withPorts.has(rule.protocol)) {
    violations.push({
      field: `${path}.port`,
      description: `a port needs protocol tcp, udp or sctp, not ${rule.protocol}`,
    });
  }
  if (rule.peer.kind === "reserved" && !reservedPeers.has(rule.peer.name)) {
    violations.push({
      field: `${path}.peer`,
      description: `${quote(rule.peer.name)} is no reserved identity; there are ${[...reservedPeers].join(", ")}`,
    });
  }
  if (rule.peer.kind === "labels") {
    if (Object.keys(rule.peer.labels).length === 0) {
      violations.push({
        field: `${path}.peer`,
        description: "a label selector needs labels; use any for every peer",
      });
    }
    violations.push(...labelViolations(rule.peer.labels, `${path}.peer.labels`));
  }
  return violations;
}

const quote = (text: string): string => JSON.stringify(text);
