import { notFound } from "../../cells/errors.ts";
import type { Service, ServiceManager } from "../../cells/services/index.ts";
import {
  LoadBalancerServiceService,
  type Service as ServiceMessage,
} from "../../gen/waggle/v1/load_balancer.ts";
import { registration, type ServiceRegistration } from "../registration.ts";
import { type ApiRuntime, readPage, takePage, watchTable } from "../runtime/index.ts";
import { MAX_BACKENDS, readBackends, readService, serviceToMessage } from "../translate/service.ts";
import { checkCount, checkObjectName } from "../validate/fields.ts";
import { validated } from "../validate/violations.ts";

/** Services of one UpsertServices. */
const MAX_SERVICES = 1000;

/** What {@link loadBalancerService} delegates to. */
export interface LoadBalancerServiceDeps {
  readonly services: ServiceManager;
}

/** waggle.v1.LoadBalancerService. */
export function loadBalancerService(
  { services }: LoadBalancerServiceDeps,
  runtime: ApiRuntime,
): ServiceRegistration {
  const toMessage = (service: Service): ServiceMessage => serviceToMessage(service, services);
  const checkName = (name: string): void =>
    validated((violations) => checkObjectName("name", name, violations));

  return registration(LoadBalancerServiceService, runtime, {
    async upsertService(request, { signal }) {
      const wanted = validated((violations) => readService("service", request, violations));
      if (wanted === undefined) throw new Error("a valid request has no service");
      return { service: toMessage(await services.upsert(wanted, signal)) };
    },

    async upsertServices({ services: requests }, { signal }) {
      const wanted = validated((violations) => {
        checkCount("services", requests.length, 1, MAX_SERVICES, violations);
        return requests
          .slice(0, MAX_SERVICES)
          .map((request, index) => readService(`services[${index}].service`, request, violations))
          .filter((service) => service !== undefined);
      });
      return { services: (await services.upsertMany(wanted, signal)).map(toMessage) };
    },

    async updateBackends({ name, upsert, remove }, { signal }) {
      const changes = validated((violations) => {
        checkObjectName("name", name, violations);
        checkCount("upsert", upsert.length, 0, MAX_BACKENDS, violations);
        checkCount("remove", remove.length, 0, MAX_BACKENDS, violations);
        return { upsert: readBackends("upsert", upsert, violations), remove };
      });
      return { service: toMessage(await services.updateBackends(name, changes, signal)) };
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
