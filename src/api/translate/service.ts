import {
  type Algorithm,
  type Backend,
  type BackendState,
  type FrontendKind,
  type FrontendStatus,
  type Service,
  type ServiceManager,
  type ServiceProtocol,
  serviceViolations,
  type TrafficPolicy,
  type WantedService,
} from "../../cells/services/index.ts";
import {
  type Backend as BackendMessage,
  BackendState as BackendStateEnum,
  FrontendKind as FrontendKindEnum,
  FrontendState as FrontendStateEnum,
  ServiceAlgorithm,
  type Service as ServiceMessage,
  ServiceProtocol as ServiceProtocolEnum,
  TrafficPolicy as TrafficPolicyEnum,
  type UpsertServiceRequest,
} from "../../gen/waggle/v1/load_balancer.ts";
import { checkCount, checkText } from "../validate/fields.ts";
import type { Violations } from "../validate/violations.ts";
import { inverse } from "./enums.ts";

/** Backends of one service, and of one change. */
export const MAX_BACKENDS = 1000;
/** Longest name of a node, in bytes: that of a DNS name (RFC 1035). */
const MAX_NODE_BYTES = 253;

const protocols = {
  tcp: ServiceProtocolEnum.TCP,
  udp: ServiceProtocolEnum.UDP,
  sctp: ServiceProtocolEnum.SCTP,
} as const satisfies Record<ServiceProtocol, ServiceProtocolEnum>;
const algorithms = {
  random: ServiceAlgorithm.RANDOM,
  maglev: ServiceAlgorithm.MAGLEV,
} as const satisfies Record<Algorithm, ServiceAlgorithm>;
const policies = {
  cluster: TrafficPolicyEnum.CLUSTER,
  local: TrafficPolicyEnum.LOCAL,
} as const satisfies Record<TrafficPolicy, TrafficPolicyEnum>;
const backendStates = {
  active: BackendStateEnum.ACTIVE,
  terminating: BackendStateEnum.TERMINATING,
  quarantined: BackendStateEnum.QUARANTINED,
} as const satisfies Record<BackendState, BackendStateEnum>;
const frontendKinds = {
  "cluster-ip": FrontendKindEnum.CLUSTER_IP,
  "node-port": FrontendKindEnum.NODE_PORT,
  "external-ip": FrontendKindEnum.EXTERNAL_IP,
} as const satisfies Record<FrontendKind, FrontendKindEnum>;
const frontendStates = {
  active: FrontendStateEnum.ACTIVE,
  pending: FrontendStateEnum.PENDING,
  conflict: FrontendStateEnum.CONFLICT,
  error: FrontendStateEnum.ERROR,
} as const satisfies Record<FrontendStatus["state"], FrontendStateEnum>;

const protocolWords = inverse(protocols);
const algorithmWords = inverse(algorithms);
const policyWords = inverse(policies);
const backendWords = inverse(backendStates);

/** A service as the API shows it, with what this node knows of its frontends and backends. */
export function serviceToMessage(service: Service, services: ServiceManager): ServiceMessage {
  const { protocol } = service;
  const frontends = service.frontends.map((frontend) => {
    const { state, message } = services.frontendStatus(frontend, protocol);
    const { kind, ip, port, revNat } = frontend;
    return { kind: frontendKinds[kind], ip, port, revNat, state: frontendStates[state], message };
  });
  return {
    name: service.name,
    ip: service.ip,
    port: service.port,
    protocol: protocols[protocol],
    backends: service.backends.map((backend) => ({
      ip: backend.ip,
      port: backend.port,
      id: services.backendId(backend, protocol) ?? 0,
      state: backendStates[backend.state],
      node: backend.node,
    })),
    revNat: frontends.find(({ kind }) => kind === FrontendKindEnum.CLUSTER_IP)?.revNat ?? 0,
    nodePort: service.nodePort,
    externalIps: [...service.externalIps],
    algorithm: algorithms[service.algorithm],
    sessionAffinityTimeoutSeconds: service.affinityTimeoutS,
    externalTrafficPolicy: policies[service.externalTrafficPolicy],
    internalTrafficPolicy: policies[service.internalTrafficPolicy],
    frontends,
    node: service.node,
    pending: service.pending,
  };
}

/** Reads what is wanted; undefined when it is nothing. Whatever else is wrong with it goes to the violations. */
export function readService(
  at: string,
  { service, allocateNodePort }: UpsertServiceRequest,
  violations: Violations,
): WantedService | undefined {
  if (service === undefined) {
    violations.add(at, "required");
    return undefined;
  }
  const words = new WordReader(at, violations);
  checkCount(`${at}.backends`, service.backends.length, 0, MAX_BACKENDS, violations);
  if (allocateNodePort && service.nodePort !== 0)
    violations.add(`${at}.node_port`, "must be 0 when one is to be allocated");
  const wanted: WantedService = {
    name: service.name,
    ip: service.ip,
    port: service.port,
    protocol: words.read("protocol", protocolWords, service.protocol, undefined) ?? "tcp",
    backends: readBackends(`${at}.backends`, service.backends.slice(0, MAX_BACKENDS), violations),
    algorithm: words.read("algorithm", algorithmWords, service.algorithm, "random") ?? "random",
    affinityTimeoutS: service.sessionAffinityTimeoutSeconds,
    nodePort: allocateNodePort ? "auto" : service.nodePort,
    externalIps: service.externalIps,
    externalTrafficPolicy: words.policy("external_traffic_policy", service.externalTrafficPolicy),
    internalTrafficPolicy: words.policy("internal_traffic_policy", service.internalTrafficPolicy),
  };
  for (const { field, description } of serviceViolations(wanted))
    violations.add(`${at}.${protoField(field)}`, description);
  return wanted;
}

/** Reads backends. Their addresses and ports are checked with the service that they belong to. */
export function readBackends(
  at: string,
  messages: readonly BackendMessage[],
  violations: Violations,
): readonly Backend[] {
  return messages.map(({ ip, port, state, node }, index) => {
    const words = new WordReader(`${at}[${index}]`, violations);
    checkText(`${at}[${index}].node`, node, MAX_NODE_BYTES, violations);
    return { ip, port, node, state: words.read("state", backendWords, state, "active") ?? "active" };
  });
}

/** Fields of the cell's services that have other names in the API. */
const protoNames: Readonly<Record<string, string>> = {
  affinityTimeoutS: "session_affinity_timeout_seconds",
};

const protoField = (field: string): string =>
  protoNames[field] ?? field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Reads enums. Protobuf lets any number through. */
class WordReader {
  readonly #at: string;
  readonly #violations: Violations;

  constructor(at: string, violations: Violations) {
    this.#at = at;
    this.#violations = violations;
  }

  /** @param unspecified what 0 stands for; undefined when it must be said */
  read<W extends string>(
    field: string,
    words: ReadonlyMap<number, W>,
    value: number,
    unspecified: W | undefined,
  ): W | undefined {
    const word = value === 0 ? unspecified : words.get(value);
    if (word !== undefined) return word;
    const known = [...words.values()].map((each) => each.toUpperCase()).join(", ");
    this.#violations.add(
      `${this.#at}.${field}`,
      value === 0 ? `required: ${known}` : `${value} is none of ${known}`,
    );
    return undefined;
  }

  policy(field: string, value: number): TrafficPolicy {
    return this.read(field, policyWords, value, "cluster") ?? "cluster";
  }
}
