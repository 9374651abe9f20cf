import type { Endpoint, EndpointSpec, EndpointState } from "../../cells/endpoints/types.ts";
import {
  type Endpoint as EndpointMessage,
  type EndpointRef,
  type EndpointSpec as EndpointSpecMessage,
  EndpointState as EndpointStateEnum,
} from "../../gen/waggle/v1/endpoint.ts";
import {
  checkAbsolutePath,
  checkInterface,
  checkLabels,
  checkObjectName,
  checkRange,
} from "../validate/fields.ts";
import { checkUnicastIPv4, checkUnicastIPv6 } from "../validate/network.ts";
import type { Violations } from "../validate/violations.ts";
import { policyToMessage, readPolicy } from "./policy.ts";

const states = {
  creating: EndpointStateEnum.CREATING,
  restoring: EndpointStateEnum.RESTORING,
  regenerating: EndpointStateEnum.REGENERATING,
  ready: EndpointStateEnum.READY,
  "not-ready": EndpointStateEnum.NOT_READY,
  disconnecting: EndpointStateEnum.DISCONNECTING,
} as const satisfies Record<EndpointState, EndpointStateEnum>;

/** Interface inside the pod when the caller names none. */
const DEFAULT_POD_INTERFACE = "eth0";

/** Reads what a caller asks for. */
export function readEndpointSpec(
  field: string,
  message: EndpointSpecMessage | undefined,
  violations: Violations,
): EndpointSpec | undefined {
  if (message === undefined) {
    violations.add(field, "required");
    return undefined;
  }
  const { name, netns, hostInterface, ipv4, ipv6, labels } = message;
  const podInterface = message.podInterface || DEFAULT_POD_INTERFACE;
  checkObjectName(`${field}.name`, name, violations);
  if (netns === "")
    violations.add(`${field}.netns`, "required: the pod's network namespace, such as /run/netns/web-1");
  else checkAbsolutePath(`${field}.netns`, netns, violations);
  checkInterface(`${field}.pod_interface`, podInterface, violations);
  checkInterface(`${field}.host_interface`, hostInterface, violations);
  if (ipv4 !== "") checkUnicastIPv4(`${field}.ipv4`, ipv4, violations);
  if (ipv6 !== "") checkUnicastIPv6(`${field}.ipv6`, ipv6, violations);
  checkLabels(`${field}.labels`, labels, violations);
  return {
    name,
    netns,
    podInterface,
    hostInterface: hostInterface || undefined,
    ipv4: ipv4 || undefined,
    ipv6: ipv6 || undefined,
    labels,
    policy: readPolicy(`${field}.policy`, message.policy, violations),
  };
}

/** An endpoint that a request names. */
export type EndpointTarget = { readonly id: number } | { readonly name: string };

/** Reads which endpoint is meant. */
export function readEndpointRef(
  field: string,
  message: EndpointRef | undefined,
  violations: Violations,
): EndpointTarget | undefined {
  switch (message?.ref?.$case) {
    case "id":
      checkRange(`${field}.id`, message.ref.value, 1, 65_535, violations);
      return { id: message.ref.value };
    case "name":
      checkObjectName(`${field}.name`, message.ref.value, violations);
      return { name: message.ref.value };
    default:
      violations.add(field, "required: id or name");
      return undefined;
  }
}

/** The message of an endpoint. */
export function endpointToMessage(endpoint: Endpoint): EndpointMessage {
  return {
    id: endpoint.id,
    spec: specToMessage(endpoint.spec),
    state: states[endpoint.state],
    stateReason: endpoint.stateReason,
    ipv4: endpoint.ipv4,
    ipv6: endpoint.ipv6,
    identity: endpoint.identity,
    hostInterface: endpoint.hostInterface,
    ifindex: endpoint.ifindex,
    mac: endpoint.mac,
    nodeMac: endpoint.nodeMac,
    generation: BigInt(endpoint.generation),
    createdAt: new Date(endpoint.createdAt),
  };
}

function specToMessage(spec: EndpointSpec): EndpointSpecMessage {
  return {
    name: spec.name,
    netns: spec.netns,
    podInterface: spec.podInterface,
    hostInterface: spec.hostInterface ?? "",
    ipv4: spec.ipv4 ?? "",
    ipv6: spec.ipv6 ?? "",
    labels: { ...spec.labels },
    policy: policyToMessage(spec.policy),
  };
}
