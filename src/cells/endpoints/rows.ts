import { bootMoment } from "../../datapath/index.ts";
import type { PodAddresses } from "../ipam/index.ts";
import type { Endpoint, EndpointChange, EndpointSpec } from "./types.ts";

/** The endpoint with what is to change of it. */
export const changed = (endpoint: Endpoint, { labels, policy }: EndpointChange): Endpoint => ({
  ...endpoint,
  spec: {
    ...endpoint.spec,
    labels: labels ?? endpoint.spec.labels,
    policy: policy ?? endpoint.spec.policy,
  },
});

/** An endpoint that nothing has been made for yet. */
export function newEndpoint(id: number, spec: EndpointSpec, { ipv4, ipv6 }: PodAddresses): Endpoint {
  return {
    id,
    spec,
    ipv4,
    ipv6,
    state: "creating",
    stateReason: "",
    identity: 0,
    hostInterface: "",
    ifindex: 0,
    mac: "",
    nodeMac: "",
    generation: 0,
    createdAt: new Date().toISOString(),
    createdOn: bootMoment(),
  };
}
