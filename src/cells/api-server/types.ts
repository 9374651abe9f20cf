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

/** Bounds of what callers can make the server hold, from its settings. Times in milliseconds. */
export interface ServerLimits {
  /** Open watch and monitor streams. */
  readonly maxWatchers: number;
  /** Table revisions that a blocked watch may fall behind. */
  readonly watchLag: number;
  /** Events kept for a reader that is behind. */
  readonly monitorBuffer: number;
  /** How long a reader with something to read may read nothing. */
  readonly readerTimeout: number;
}
