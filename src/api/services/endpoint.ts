import type { Endpoint, EndpointManager } from "../../cells/endpoints/types.ts";
import { notFound } from "../../cells/errors.ts";
import { includesLabels, type Labels } from "../../cells/identity/index.ts";
import { type EndpointRef, EndpointServiceService } from "../../gen/waggle/v1/endpoint.ts";
import { registration, type ServiceRegistration } from "../registration.ts";
import { type ApiRuntime, readPage, takePage, watchTable } from "../runtime/index.ts";
import { endpointToMessage, readEndpointRef, readEndpointSpec } from "../translate/endpoint.ts";
import { readPolicy } from "../translate/policy.ts";
import { checkLabels, checkText } from "../validate/fields.ts";
import { type Violations, validated } from "../validate/violations.ts";

/** What {@link endpointService} delegates to. */
export interface EndpointServiceDeps {
  readonly endpoints: EndpointManager;
}

/** waggle.v1.EndpointService. */
export function endpointService(
  { endpoints }: EndpointServiceDeps,
  runtime: ApiRuntime,
): ServiceRegistration {
  /** The endpoint a request names, once the rest of the request is known to be valid. */
  const find = (message: EndpointRef | undefined, check?: (violations: Violations) => void): Endpoint => {
    const target = validated((violations) => {
      check?.(violations);
      return readEndpointRef("endpoint", message, violations);
    });
    if (target === undefined) throw new Error("a valid reference names no endpoint");
    if ("id" in target) {
      const found = endpoints.get(target.id);
      if (found === undefined) throw notFound("endpoint", target.id);
      return found;
    }
    const found = endpoints.byName(target.name);
    if (found === undefined) throw notFound("endpoint", target.name);
    return found;
  };

  return registration(EndpointServiceService, runtime, {
    async createEndpoint({ spec }, { signal }) {
      const wanted = validated((violations) => readEndpointSpec("spec", spec, violations));
      if (wanted === undefined) throw new Error("a valid request has no specification");
      return { endpoint: endpointToMessage(await endpoints.create(wanted, signal)) };
    },

    getEndpoint({ endpoint }) {
      return { endpoint: endpointToMessage(find(endpoint)) };
    },

    listEndpoints(request) {
      const { labels } = request;
      const page = validated((violations) => {
        checkLabels("labels", labels, violations);
        return readPage(request, `endpoints ${JSON.stringify(Object.entries(labels).sort())}`, violations);
      });
      const matching = endpoints.table.list().filter(({ spec }) => includesLabels(spec.labels, labels));
      const { items, nextPageToken } = takePage(matching, ({ id }) => id, page);
      return { endpoints: items.map(endpointToMessage), nextPageToken };
    },

    async updateEndpoint({ endpoint, labels, policy }, { signal }) {
      const change: { labels?: Labels; policy?: ReturnType<typeof readPolicy> } = {};
      const { id } = find(endpoint, (violations) => {
        if (labels === undefined && policy === undefined) {
          violations.add("labels", "nothing to change: set labels, policy or both");
        }
        if (labels !== undefined) {
          checkLabels("labels", labels.labels, violations);
          change.labels = labels.labels;
        }
        if (policy !== undefined) change.policy = readPolicy("policy", policy, violations);
      });
      return { endpoint: endpointToMessage(await endpoints.update(id, change, signal)) };
    },

    async deleteEndpoint({ endpoint }, { signal }) {
      await endpoints.delete(find(endpoint).id, signal);
      return {};
    },

    async regenerateEndpoint({ endpoint, reason }, { signal }) {
      const { id } = find(endpoint, (violations) => checkText("reason", reason, 256, violations));
      const why = reason || "requested through the API";
      return { endpoint: endpointToMessage(await endpoints.regenerate(id, why, signal)) };
    },

    watchEndpoints(_request, context, out) {
      return watchTable(endpoints.table, endpointToMessage, context, out, runtime);
    },
  });
}
