import type { Server } from "@grpc/grpc-js";
import type { PackageDefinition } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import { splitFileDescriptorSet } from "./descriptor-set.ts";
import type { ServiceRegistration } from "./types.ts";

/** Name by which the reflection service finds descriptors; it looks at nothing else of a definition. */
const CARRIER = "descriptors";

/** The standard health service, which every server has; the API's descriptors describe it. */
const HEALTH_SERVICE = "grpc.health.v1.Health";

/** Adds server reflection, v1 and v1alpha, for every registration that has descriptors. */
export function addReflection(server: Server, registrations: readonly ServiceRegistration[]): void {
  const described = registrations.filter(({ descriptors }) => descriptors !== undefined);
  const sets = new Set(described.map(({ descriptors }) => descriptors ?? new Uint8Array()));
  const fileDescriptorProtos = [...sets].flatMap(splitFileDescriptorSet);
  const definition = {
    [CARRIER]: { format: "Protocol Buffer 3 DescriptorProto", type: {}, fileDescriptorProtos },
  } as unknown as PackageDefinition;
  new ReflectionService(definition, {
    services: [...described.map(({ name }) => name), HEALTH_SERVICE],
  }).addToServer(server);
}
