/**
 * Errors that cells throw and that the API turns into gRPC statuses. The kind is the contract; the
 * message says what was wrong with which object, and what to do.
 */

/** Names of the gRPC statuses used for refusals, as in google.rpc.Code. */
export type RefusalKind =
  | "INVALID_ARGUMENT"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "FAILED_PRECONDITION"
  | "RESOURCE_EXHAUSTED"
  | "ABORTED"
  | "UNAVAILABLE"
  | "DEADLINE_EXCEEDED";

/** One field that was refused, with its path in the request ("spec.ipv4"). */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

/** A request that cannot be carried out; nothing was changed. */
export class RefusalError extends Error {
  readonly kind: RefusalKind;
  readonly violations: readonly FieldViolation[];

  constructor(
    kind: RefusalKind,
    message: string,
    options?: { violations?: readonly FieldViolation[]; cause?: unknown },
  ) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = "RefusalError";
    this.kind = kind;
    this.violations = options?.violations ?? [];
  }
}

export const invalidArgument = (violations: readonly FieldViolation[]): RefusalError =>
  new RefusalError(
    "INVALID_ARGUMENT",
    violations.map((violation) => `${violation.field}: ${violation.description}`).join("; "),
    { violations },
  );

export const notFound = (what: string, name: string | number): RefusalError =>
  new RefusalError("NOT_FOUND", `${what} ${JSON.stringify(name)} does not exist`);

export const alreadyExists = (what: string, name: string | number): RefusalError =>
  new RefusalError("ALREADY_EXISTS", `${what} ${JSON.stringify(name)} exists already`);

export const failedPrecondition = (message: string, cause?: unknown): RefusalError =>
  new RefusalError("FAILED_PRECONDITION", message, { cause });

export const resourceExhausted = (message: string): RefusalError =>
  new RefusalError("RESOURCE_EXHAUSTED", message);
