import { type PolicyEntry, type PolicyKey, Protocol, policyEntry } from "../../datapath/maps/index.ts";
import type { PolicyProtocol, PolicyRule } from "../endpoints/types.ts";

/** Entries of a policy map, by a text of their keys. */
export type PolicyEntries = ReadonlyMap<string, readonly [PolicyKey, PolicyEntry]>;

/** The label that stands for every peer. */
export const anyPeer = 0;

const protocolNumbers: Readonly<Record<PolicyProtocol, readonly number[]>> = {
  any: [Protocol.any],
  tcp: [Protocol.tcp],
  udp: [Protocol.udp],
  icmp: [Protocol.icmp, Protocol.icmpv6],
  sctp: [Protocol.sctp],
};

/** Protocols that have ports, for rules that name a port but no protocol: a key cannot leave out the one before it. */
const withPorts = [Protocol.tcp, Protocol.udp, Protocol.sctp];

/** A key as text, for maps and sets. */
export const policyKeyText = ({ identity, direction, protocol, port, portBits }: PolicyKey): string =>
  `${identity}/${direction}/${protocol}/${port}/${portBits ?? ""}`;

/**
 * The entries that rules make for one identity (or `anyPeer`). The rules must be valid, and those that apply to it.
 *
 * A rule that denies wins over all that allow the same packets. The kernel takes the longest match within one label,
 * so an entry that allows is left out where an entry that denies covers it.
 */
export function entriesFor(identity: number, rules: readonly PolicyRule[]): PolicyEntries {
  const denied = new Map<string, PolicyKey>();
  const allowed = new Map<string, PolicyKey>();
  for (const rule of rules) {
    const into = rule.action === "deny" ? denied : allowed;
    for (const key of keysOf(identity, rule)) into.set(policyKeyText(key), key);
  }
  const entries = new Map<string, readonly [PolicyKey, PolicyEntry]>();
  for (const [text, key] of denied) entries.set(text, [key, policyEntry(key, true)]);
  for (const [text, key] of allowed) {
    if (!coveringKeys(key).some((covering) => denied.has(policyKeyText(covering)))) {
      entries.set(text, [key, policyEntry(key, false)]);
    }
  }
  return entries;
}

function keysOf(identity: number, { direction, protocol, port }: PolicyRule): PolicyKey[] {
  const protocols = protocol === "any" && port !== 0 ? withPorts : protocolNumbers[protocol];
  return protocols.map((number) => ({ identity, direction, protocol: number, port }));
}

/** The key itself, and those of the same label that match everything it matches. */
export function coveringKeys(key: PolicyKey): PolicyKey[] {
  return [key, { ...key, port: 0 }, { ...key, protocol: Protocol.any, port: 0 }];
}
