import { notFound } from "../../cells/errors.ts";
import type { Identity, IdentityAllocator } from "../../cells/identity/types.ts";
import { type Identity as IdentityMessage, IdentityServiceService } from "../../gen/waggle/v1/identity.ts";
import { registration, type ServiceRegistration } from "../registration.ts";
import { type ApiRuntime, readPage, takePage, watchTable } from "../runtime/index.ts";
import { validated } from "../validate/violations.ts";

/** What {@link identityService} delegates to. */
export interface IdentityServiceDeps {
  readonly identities: Pick<IdentityAllocator, "table">;
}

/** waggle.v1.IdentityService. */
export function identityService(
  { identities }: IdentityServiceDeps,
  runtime: ApiRuntime,
): ServiceRegistration {
  return registration(IdentityServiceService, runtime, {
    getIdentity({ id }) {
      const identity = identities.table.get(id);
      if (identity === undefined) throw notFound("identity", id);
      return { identity: toMessage(identity) };
    },

    listIdentities(request) {
      const page = validated((violations) => readPage(request, "identities", violations));
      const { items, nextPageToken } = takePage(identities.table.list(), ({ id }) => id, page);
      return { identities: items.map(toMessage), nextPageToken };
    },

    watchIdentities(_request, context, out) {
      return watchTable(identities.table, toMessage, context, out, runtime);
    },
  });
}

function toMessage({ id, labels, reserved, references }: Identity): IdentityMessage {
  return { id, labels: { ...labels }, reserved: reserved ?? "", references };
}
