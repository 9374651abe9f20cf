import { readFileSync } from "node:fs";
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";
import type { ServiceRegistration } from "../cells/api-server/types.ts";
import { type ApiRuntime, type Handlers, implement } from "./runtime/index.ts";

export type { ServiceRegistration } from "../cells/api-server/types.ts";

let descriptors: Uint8Array | undefined;

/** The FileDescriptorSet of the whole API, as `npm run gen` wrote it. */
export function apiDescriptors(): Uint8Array {
  descriptors ??= readFileSync(new URL("../gen/descriptors.binpb", import.meta.url));
  return descriptors;
}

/** A service of the API, ready for a server. */
export function registration<Definition extends ServiceDefinition>(
  definition: Definition,
  runtime: ApiRuntime,
  handlers: Handlers<Definition>,
): ServiceRegistration {
  return {
    name: serviceName(definition),
    definition,
    implementation: implement(definition, handlers, runtime),
    descriptors: apiDescriptors(),
  };
}

/** Methods have the path "/package.Service/Method". */
function serviceName(definition: ServiceDefinition): string {
  const [method] = Object.values(definition) as MethodDefinition<unknown, unknown>[];
  const name = method?.path.split("/")[1];
  if (name === undefined) throw new Error("a service definition has no methods");
  return name;
}
