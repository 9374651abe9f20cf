import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";

/** A gRPC service that somebody contributes to the agent's server. */
export interface ServiceRegistration {
  /** Full name, "waggle.v1.EndpointService". */
  readonly name: string;
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
  /**
   * A serialized google.protobuf.FileDescriptorSet with the service and all it imports, for reflection
   * (`buf build -o x.binpb`). Undefined: the service works but reflection does not know it.
   */
  readonly descriptors?: Uint8Array | undefined;
}

/** Where the server listens, once it has started. */
export interface ApiServerInfo {
  /** Path of the Unix socket; empty when there is none. */
  readonly socket: string;
  /** host:port, with the port that the system chose for 0; empty when there is none. */
  readonly address: string;
}
