import { notFound } from "../../cells/errors.ts";
import type { Service, ServiceManager, ServiceProtocol } from "../../cells/services/types.ts";
import {
  LoadBalancerServiceService,
  type Service as ServiceMessage,
  ServiceProtocol as ServiceProtocolEnum,
} from "../../gen/waggle/v1/load_balancer.ts";
import { registration, type ServiceRegistration } from "../registration.ts";
import { type ApiRuntime, readPage, takePage, watchTable } from "../runtime/index.ts";
import { inverse } from "../translate/enums.ts";
import { checkCount, checkObjectName } from "../validate/fields.ts";
import { checkPort, checkUnicastIPv4 } from "../validate/network.ts";
import { type Violations, validated } from "../validate/violations.ts";

/** Backends of one service. */
const MAX_BACKENDS = 1000;

const protocols = {
  tcp: ServiceProtocolEnum.TCP,
  udp: ServiceProtocolEnum.UDP,
} as const satisfies Record<ServiceProtocol, ServiceProtocolEnum>;
const protocolWords = inverse(protocols);

/** What {@link loadBalancerService} delegates to. */
export interface LoadBalancerServiceDeps {
  readonly services: ServiceManager;
}

/** waggle.v1.LoadBalancerService. */
export function loadBalancerService(
  { services }: LoadBalancerServiceDeps,
  runtime: ApiRuntime,
): ServiceRegistration {
  const toMessage = (service: Service): ServiceMessage => ({
    name: service.name,
    ipv4: service.ipv4,
    port: service.port,
    protocol: protocols[service.protocol],
    backends: service.backends.map(({ ipv4, port }) => ({
      ipv4,
      port,
      id: services.backendId({ ipv4, port }, service.protocol) ?? 0,
    })),
    revNat: service.revNat,
  });
  const checkName = (name: string): void =>
    validated((violations) => checkObjectName("name", name, violations));

  return registration(LoadBalancerServiceService, runtime, {
    async upsertService({ service }, { signal }) {
      const wanted = validated((violations) => readService("service", service, violations));
      if (wanted === undefined) throw new Error("a valid request has no service");
      return { service: toMessage(await services.upsert(wanted, signal)) };
    },

    async deleteService({ name }, { signal }) {
      checkName(name);
      await services.delete(name, signal);
      return {};
    },

    getService({ name }) {
      checkName(name);
      const service = services.table.get(name);
      if (service === undefined) throw notFound("service", name);
      return { service: toMessage(service) };
    },

    listServices(request) {
      const page = validated((violations) => readPage(request, "services", violations));
      const { items, nextPageToken } = takePage(services.table.list(), ({ name }) => name, page);
      return { services: items.map(toMessage), nextPageToken };
    },

    watchServices(_request, context, out) {
      return watchTable(services.table, toMessage, context, out, runtime);
    },
  });
}

function readService(
  field: string,
  message: ServiceMessage | undefined,
  violations: Violations,
): Omit<Service, "revNat"> | undefined {
  if (message === undefined) {
    violations.add(field, "required");
    return undefined;
  }
  const { name, ipv4, port } = message;
  checkObjectName(`${field}.name`, name, violations);
  checkUnicastIPv4(`${field}.ipv4`, ipv4, violations);
  checkPort(`${field}.port`, port, violations);
  const protocol = protocolWords.get(message.protocol);
  if (protocol === undefined) violations.add(`${field}.protocol`, "neither TCP nor UDP");
  checkCount(`${field}.backends`, message.backends.length, 0, MAX_BACKENDS, violations);
  const seen = new Map<string, number>();
  const backends = message.backends.slice(0, MAX_BACKENDS).map((backend, index) => {
    const at = `${field}.backends[${index}]`;
    checkUnicastIPv4(`${at}.ipv4`, backend.ipv4, violations);
    checkPort(`${at}.port`, backend.port, violations);
    const key = `${backend.ipv4}:${backend.port}`;
    const first = seen.get(key);
    if (first !== undefined) violations.add(at, `${key} is in ${field}.backends[${first}] already`);
    else seen.set(key, index);
    return { ipv4: backend.ipv4, port: backend.port };
  });
  return protocol && { name, ipv4, port, protocol, backends };
}
