import type { handleBidiStreamingCall, Server, ServiceDefinition } from "@grpc/grpc-js";
import type { PackageDefinition } from "@grpc/proto-loader";
import { splitFileDescriptorSet } from "./descriptor-set.ts";
import type { ServiceRegistration } from "./types.ts";

/** Name by which the reflection service finds descriptors; it looks at nothing else of a definition. */
const CARRIER = "descriptors";

/** The standard health service, which every server has; the API's descriptors describe it. */
const HEALTH_SERVICE = "grpc.health.v1.Health";

/** grpc/doc/server-reflection.md: both versions have this one method. */
const METHOD = "ServerReflectionInfo";
const VERSIONS = ["v1", "v1alpha"] as const;

interface Method {
  readonly serialize: (value: unknown) => Buffer;
  readonly deserialize: (bytes: Buffer) => unknown;
  readonly handle: handleBidiStreamingCall<unknown, unknown>;
}

/**
 * Adds server reflection, v1 and v1alpha, for every registration that has descriptors. What serves it is loaded and
 * fed with the descriptors at the first call: few agents are ever asked, and it would be a tenth of their start.
 */
export function addReflection(server: Server, registrations: readonly ServiceRegistration[]): void {
  let loading: Promise<void> | undefined;
  let methods: ReadonlyMap<string, Method> = new Map();
  const load = async (): Promise<void> => {
    methods = await reflectionOf(registrations);
  };
  for (const version of VERSIONS) {
    const path = `/grpc.reflection.${version}.ServerReflection/${METHOD}`;
    // Nothing is read from a stream before its handler asks for it: by then all is loaded.
    const definition = {
      [METHOD]: {
        path,
        requestStream: true,
        responseStream: true,
        requestSerialize: passBytes,
        requestDeserialize: (bytes: Buffer) => methods.get(path)!.deserialize(bytes),
        responseSerialize: (value: unknown) => methods.get(path)!.serialize(value),
        responseDeserialize: passBytes,
      },
    };
    const handle: handleBidiStreamingCall<unknown, unknown> = (call) => {
      loading ??= load();
      loading.then(
        () => methods.get(path)!.handle(call),
        (error: unknown) => call.emit("error", error),
      );
    };
    server.addService(definition, { [METHOD]: handle });
  }
}

const passBytes = <T>(value: T): T => value;

/** The methods of @grpc/reflection, by path. */
async function reflectionOf(
  registrations: readonly ServiceRegistration[],
): Promise<ReadonlyMap<string, Method>> {
  const { ReflectionService } = await import("@grpc/reflection");
  const described = registrations.filter(({ descriptors }) => descriptors !== undefined);
  const sets = new Set(described.map(({ descriptors }) => descriptors ?? new Uint8Array()));
  const fileDescriptorProtos = [...sets].flatMap(splitFileDescriptorSet);
  const definition = {
    [CARRIER]: { format: "Protocol Buffer 3 DescriptorProto", type: {}, fileDescriptorProtos },
  } as unknown as PackageDefinition;
  const methods = new Map<string, Method>();
  const collector: Pick<Server, "addService"> = {
    addService(service: ServiceDefinition, implementation) {
      for (const [name, { path, requestDeserialize, responseSerialize }] of Object.entries(service)) {
        methods.set(path, {
          deserialize: requestDeserialize,
          serialize: responseSerialize,
          handle: implementation[name] as Method["handle"],
        });
      }
    },
  };
  new ReflectionService(definition, {
    services: [...described.map(({ name }) => name), HEALTH_SERVICE],
  }).addToServer(collector as Server);
  return methods;
}
