import { status as Code, type Metadata, type ServiceError } from "@grpc/grpc-js";
import { BadRequest } from "../gen/google/rpc/error_details.ts";
import { Status } from "../gen/google/rpc/status.ts";

/** A field that was refused, with what is accepted. */
export interface Violation {
  readonly field: string;
  readonly description: string;
}

const badRequestType = "type.googleapis.com/google.rpc.BadRequest";

/** Fields named by a google.rpc.BadRequest in the trailer `grpc-status-details-bin`. */
function violationsIn(metadata: Metadata | undefined): readonly Violation[] {
  return (metadata?.get("grpc-status-details-bin") ?? []).flatMap((trailer) => {
    if (!Buffer.isBuffer(trailer)) return [];
    return Status.decode(trailer)
      .details.filter((detail) => detail.typeUrl === badRequestType)
      .flatMap((detail) => BadRequest.decode(detail.value).fieldViolations)
      .map(({ field, description }) => ({ field, description }));
  });
}

const isServiceError = (error: unknown): error is ServiceError =>
  error instanceof Error && typeof (error as Partial<ServiceError>).code === "number" && "details" in error;

/** A call that failed, with what the server said about it. */
export class CallError extends Error {
  /** Number of the gRPC status. */
  readonly code: Code;
  /** Its name: "NOT_FOUND". */
  readonly status: string;
  /** "/waggle.v1.EndpointService/GetEndpoint" */
  readonly method: string;
  readonly violations: readonly Violation[];

  constructor(
    code: Code,
    message: string,
    options: {
      readonly method?: string;
      readonly violations?: readonly Violation[];
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CallError";
    this.code = code;
    this.status = Code[code] ?? `status ${code}`;
    this.method = options.method ?? "";
    this.violations = options.violations ?? [];
  }

  /** Wraps what grpc-js throws; anything that is no gRPC status becomes UNKNOWN and keeps its cause. */
  static from(error: unknown, method: string): CallError {
    if (error instanceof CallError) return error;
    if (!isServiceError(error)) {
      return new CallError(Code.UNKNOWN, error instanceof Error ? error.message : String(error), {
        method,
        cause: error,
      });
    }
    return new CallError(error.code, error.details, {
      method,
      violations: violationsIn(error.metadata),
      cause: error,
    });
  }
}
