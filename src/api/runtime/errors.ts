import { randomBytes } from "node:crypto";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { RefusalError } from "../../cells/errors.ts";
import { BadRequest } from "../../gen/google/rpc/error_details.ts";
import { Status } from "../../gen/google/rpc/status.ts";
import type { CallContext } from "./context.ts";

/** Trailer with a serialized google.rpc.Status (grpc/doc/PROTOCOL-HTTP2.md and googleapis' error model). */
export const STATUS_DETAILS = "grpc-status-details-bin";

/** Clients accept 8 KiB of trailers by default; the text appears twice, the second time in base64. */
const MAX_MESSAGE_BYTES = 2048;
const MAX_VIOLATIONS = 10;
const MAX_FIELD_BYTES = 160;
/** Shared by all violations: a single one may name everything that would have been right. */
const MAX_VIOLATIONS_BYTES = 1600;

/** What the caller gets to see of a failed call. */
export interface CallStatus {
  readonly code: status;
  readonly message: string;
}

/** Thrown by interceptors and the server itself; ends the call with this status. */
export class CallError extends Error {
  override readonly name = "CallError";
  readonly code: status;

  constructor(code: status, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * The status a thrown value ends its call with. Errors of the cells, tables and datapath carry the name of a
 * gRPC status; of anything else the caller learns only a reference into the agent's log.
 */
export function statusOf(thrown: unknown, context: CallContext): CallStatus {
  if (thrown instanceof CallError) return { code: thrown.code, message: thrown.message };
  if (isAbort(thrown, context.signal)) return statusOfAbort(context.signal);
  const code = namedStatus(thrown);
  if (code !== undefined && thrown instanceof Error) return { code, message: thrown.message };
  return { code: status.INTERNAL, message: "internal error" };
}

/** Builds what grpc-js sends for a thrown value, and logs what the caller is not told. */
export function toServiceError(thrown: unknown, context: CallContext): ServiceError {
  let { code, message } = statusOf(thrown, context);
  if (code === status.INTERNAL) {
    const reference = randomBytes(4).toString("hex");
    context.log.error({ err: thrown, method: context.method, reference }, "call failed unexpectedly");
    message = `internal error, see ${reference} in the agent's log`;
  }
  const shown = shorten(message, MAX_MESSAGE_BYTES);
  const metadata = new Metadata();
  if (thrown instanceof RefusalError && thrown.violations.length > 0) {
    metadata.set(STATUS_DETAILS, badRequest(code, shown, thrown));
  }
  return Object.assign(new Error(shown), { code, details: shown, metadata });
}

function badRequest(code: status, message: string, refusal: RefusalError): Buffer {
  const told = refusal.violations.slice(0, MAX_VIOLATIONS);
  const share = Math.floor(MAX_VIOLATIONS_BYTES / told.length);
  const fieldViolations = told.map(({ field, description }) => ({
    field: shorten(field, MAX_FIELD_BYTES),
    description: shorten(description, share),
  }));
  const value = Buffer.from(BadRequest.encode(BadRequest.fromPartial({ fieldViolations })).finish());
  const details = [{ typeUrl: "type.googleapis.com/google.rpc.BadRequest", value }];
  return Buffer.from(Status.encode({ code, message, details }).finish());
}

function namedStatus(thrown: unknown): status | undefined {
  if (thrown instanceof RefusalError) return status[thrown.kind];
  if (!(thrown instanceof Error) || !("status" in thrown) || typeof thrown.status !== "string")
    return undefined;
  const code = (status as unknown as Readonly<Record<string, unknown>>)[thrown.status];
  return typeof code === "number" ? code : undefined;
}

function isAbort(thrown: unknown, signal: AbortSignal): boolean {
  if (!signal.aborted) return false;
  return thrown === signal.reason || (thrown instanceof Error && thrown.name === "AbortError");
}

function statusOfAbort({ reason }: AbortSignal): CallStatus {
  const code = reason instanceof CallError ? reason.code : namedStatus(reason);
  if (code !== undefined && reason instanceof Error) return { code, message: reason.message };
  return { code: status.CANCELLED, message: "the call was cancelled" };
}

/** Keeps both ends of a text that is too long: what was done, and the last lines of a compiler or verifier. */
function shorten(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  const buffer = Buffer.from(text);
  const mark = " […] ";
  const room = bytes - Buffer.byteLength(mark);
  const head = Math.floor(room / 3);
  const start = buffer
    .subarray(0, head)
    .toString()
    .replace(/\uFFFD+$/, "");
  const end = buffer
    .subarray(buffer.length - (room - head))
    .toString()
    .replace(/^\uFFFD+/, "");
  return start + mark + end;
}
