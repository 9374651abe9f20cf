import {
  type Service,
  ServiceProtocol,
  UpsertServiceRequest,
} from "../../src/gen/waggle/v1/load_balancer.ts";
import type { World } from "../../src/playground/index.ts";

type ServiceFields = NonNullable<Parameters<typeof UpsertServiceRequest.fromPartial>[0]["service"]>;

/** Creates or replaces a service at the world's agent; TCP unless told otherwise. */
export async function upsertService(world: Pick<World, "client">, service: ServiceFields): Promise<Service> {
  const request = UpsertServiceRequest.fromPartial({
    service: { protocol: ServiceProtocol.TCP, ...service },
  });
  const { service: made } = await world.client.services.upsertService(request);
  if (made === undefined) throw new Error("the agent returned no service");
  return made;
}
