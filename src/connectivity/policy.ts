import { TrafficDirection } from "../gen/waggle/v1/common.ts";
import {
  type Endpoint,
  PolicyAction,
  type PolicyPeer,
  PolicyProtocol,
  type PolicyRule,
} from "../gen/waggle/v1/endpoint.ts";

const meansWorld = (peer: PolicyPeer | undefined): boolean =>
  peer?.peer?.$case === "any" || (peer?.peer?.$case === "reserved" && peer.peer.value === "world");

const isWhole = ({ protocol, port }: PolicyRule): boolean =>
  (protocol === PolicyProtocol.ANY || protocol === PolicyProtocol.UNSPECIFIED) && port === 0;

/** What an endpoint's policy says to hosts that are no part of the cluster: all, nothing, or some of it. */
export function openToWorld({ spec }: Endpoint): "open" | "closed" | "partly" {
  const { enforceIngress = false, rules = [] } = spec?.policy ?? {};
  const about = rules.filter(
    ({ direction, peer }) => direction === TrafficDirection.INGRESS && meansWorld(peer),
  );
  const denying = about.filter(({ action }) => action === PolicyAction.DENY);
  const allowing = about.filter(({ action }) => action === PolicyAction.ALLOW);
  if (denying.some(isWhole)) return "closed";
  if (denying.length > 0) return "partly";
  if (!enforceIngress || allowing.some(isWhole)) return "open";
  return allowing.length === 0 ? "closed" : "partly";
}
