import { group, token } from "../../hive/index.ts";
import type { ApiServerInfo, ServerLimits, ServiceRegistration } from "./types.ts";

/** The services that the agent's gRPC server serves. Contribute to it to add your own. */
export const GrpcServices = group<ServiceRegistration>("grpc-services");

/** Bounds that services apply to their callers. */
export const ApiServerLimits = token<ServerLimits>("api-server-limits");

/** Aborts, with the error to end streams with, when the server begins to stop. */
export const Draining = token<AbortSignal>("api-server-draining");

/** Where the server listens; complete once the hive has started. */
export const ApiServing = token<ApiServerInfo>("api-serving");
