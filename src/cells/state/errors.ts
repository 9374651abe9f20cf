/** gRPC statuses that failures of the state store map to. */
export type StateErrorStatus = "FAILED_PRECONDITION" | "DATA_LOSS" | "UNAVAILABLE" | "INVALID_ARGUMENT";

/** The base of all errors of the state store. */
export abstract class StateError extends Error {
  abstract readonly status: StateErrorStatus;
}

/** The state directory cannot be made, entered or opened. */
export class StateDirectoryError extends StateError {
  override readonly name = "StateDirectoryError";
  readonly status = "FAILED_PRECONDITION";
  readonly directory: string;

  constructor(operation: string, directory: string, cause: unknown) {
    super(`${operation} state directory ${directory}: ${messageOf(cause)}`, { cause });
    this.directory = directory;
  }
}

/** Another agent runs on the state directory. */
export class StateLockedError extends StateError {
  override readonly name = "StateLockedError";
  readonly status = "FAILED_PRECONDITION";
  readonly directory: string;
  /** Process id of the other agent, in its own pid namespace; undefined when it did not answer in time. */
  readonly pid: number | undefined;

  constructor(directory: string, pid: number | undefined) {
    super(
      `state directory ${directory} is in use by another agent (${pid === undefined ? "it does not tell its pid" : `pid ${pid}`}): ` +
        "stop that agent, or give this one a --state-dir of its own",
    );
    this.directory = directory;
    this.pid = pid;
  }
}

/** What is stored cannot be understood. Nothing has been changed. */
export class StateCorruptError extends StateError {
  override readonly name = "StateCorruptError";
  readonly status = "DATA_LOSS";
  /** The file, with the key where only one value is damaged. */
  readonly object: string;

  constructor(object: string, reason: string, cause?: unknown) {
    super(
      `stored state ${object} is damaged: ${reason}. Restore it from a copy, or move it away to begin with nothing`,
      cause === undefined ? undefined : { cause },
    );
    this.object = object;
  }
}

/** The state was written by an agent with another idea of what is in it. Nothing has been changed. */
export class StateVersionError extends StateError {
  override readonly name = "StateVersionError";
  readonly status = "FAILED_PRECONDITION";
  readonly found: number;
  readonly known: number;

  constructor(file: string, found: number, known: number) {
    super(
      `state ${file} has format version ${found}, this agent reads version ${known}: ` +
        `${found > known ? "run the newer agent that wrote it" : "there is no migration from so old a version"}, ` +
        "or use another --state-dir",
    );
    this.found = found;
    this.known = known;
  }
}

/** A write did not reach the disk. What was stored before is still there. */
export class StateWriteError extends StateError {
  override readonly name = "StateWriteError";
  readonly status = "UNAVAILABLE";
  readonly key: string;

  constructor(operation: "put" | "delete", key: string, cause: unknown) {
    super(`${operation} ${key} in the state store: ${messageOf(cause)}`, { cause });
    this.key = key;
  }
}

/** The store was used before it was opened or after it was closed. */
export class StateClosedError extends StateError {
  override readonly name = "StateClosedError";
  readonly status = "FAILED_PRECONDITION";

  constructor(operation: string, key: string) {
    super(
      `${operation} ${key}: the state store is not open; use it between start and stop of the state cell`,
    );
  }
}

/** A collection, key or value that cannot be stored. */
export class StateArgumentError extends StateError {
  override readonly name = "StateArgumentError";
  readonly status = "INVALID_ARGUMENT";
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
