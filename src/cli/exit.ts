import { status } from "@grpc/grpc-js";
import { CallError } from "../client/index.ts";

/** What an exit code of waggle means. Documented in docs/cli.md; scripts rely on them. */
export const Exit = {
  ok: 0,
  failure: 1,
  /** The command line, or a value in it, was refused. */
  usage: 2,
  notFound: 3,
  /** It exists already, or something else must be done first. */
  precondition: 4,
  /** No agent answers. */
  unreachable: 5,
  timeout: 6,
  /** Something is used up: addresses, ids, room in a map. */
  exhausted: 7,
  /** The caller may not do this. */
  denied: 8,
  /** Ended by ^C, as shells count it: 128 + SIGINT. */
  interrupted: 130,
} as const;
export type Exit = (typeof Exit)[keyof typeof Exit];

/** A command line that cannot be carried out. The message says what is accepted. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

/** What was named is not there, as the answer to a wider question shows: the agent itself has refused nothing. */
export class NotFoundError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "NotFoundError";
  }
}

/** Ends the command with an exit code of its own; everything was said already. */
export class ExitError extends Error {
  readonly exitCode: number;
  constructor(exitCode: number) {
    super(`exit code ${exitCode}`);
    this.name = "ExitError";
    this.exitCode = exitCode;
  }
}

const byStatus: Readonly<Partial<Record<status, Exit>>> = {
  [status.INVALID_ARGUMENT]: Exit.usage,
  [status.OUT_OF_RANGE]: Exit.usage,
  [status.NOT_FOUND]: Exit.notFound,
  [status.ALREADY_EXISTS]: Exit.precondition,
  [status.FAILED_PRECONDITION]: Exit.precondition,
  [status.ABORTED]: Exit.precondition,
  [status.DEADLINE_EXCEEDED]: Exit.timeout,
  [status.RESOURCE_EXHAUSTED]: Exit.exhausted,
  [status.PERMISSION_DENIED]: Exit.denied,
  [status.UNAUTHENTICATED]: Exit.denied,
  [status.CANCELLED]: Exit.interrupted,
};

/** True when the call never reached an agent; an agent's own UNAVAILABLE carries other words. */
export const neverReached = (error: CallError): boolean =>
  error.code === status.UNAVAILABLE &&
  /no connection established|failed to connect|name resolution|ECONNREFUSED|ENOENT|EACCES|connection dropped/i.test(
    error.message,
  );

/** True when the socket is there, but not for this user. */
export const mayNotOpen = (error: CallError): boolean => neverReached(error) && /EACCES/.test(error.message);

/** The exit code for an error. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof ExitError) return error.exitCode;
  if (error instanceof UsageError) return Exit.usage;
  if (error instanceof NotFoundError) return Exit.notFound;
  if (error instanceof CallError) {
    if (mayNotOpen(error)) return Exit.denied;
    return neverReached(error) ? Exit.unreachable : (byStatus[error.code] ?? Exit.failure);
  }
  // Cleanup is loaded only when it runs, so its error is known here by name.
  if (error instanceof Error && error.name === "AgentRunningError") return Exit.precondition;
  return Exit.failure;
}
