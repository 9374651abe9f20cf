import type { IndexValue, TableKey } from "./types.ts";

/** The canonical gRPC status that an error of this module maps to when it reaches an API. */
export type TableErrorStatus =
  | "ABORTED"
  | "ALREADY_EXISTS"
  | "CANCELLED"
  | "FAILED_PRECONDITION"
  | "INTERNAL"
  | "INVALID_ARGUMENT"
  | "OUT_OF_RANGE"
  | "UNAVAILABLE";

/** The base of all errors of tables and reconcilers. */
export abstract class TableError extends Error {
  abstract readonly status: TableErrorStatus;
}

/** A table's definition, a reconciler's option or an argument makes no sense. */
export class InvalidDefinitionError extends TableError {
  override readonly name = "InvalidDefinitionError";
  readonly status = "INVALID_ARGUMENT";
}

/** `compareAndSwap` found another revision than expected. */
export class RevisionMismatchError extends TableError {
  override readonly name = "RevisionMismatchError";
  readonly status = "ABORTED";
  readonly table: string;
  readonly key: TableKey;
  /** The revision the caller expected; 0 for no row. */
  readonly expected: number;
  /** The revision the row has; 0 for no row. */
  readonly actual: number;

  constructor(table: string, key: TableKey, expected: number, actual: number) {
    super(`table ${table}: swap of ${String(key)}: expected revision ${expected}, found ${actual}`);
    this.table = table;
    this.key = key;
    this.expected = expected;
    this.actual = actual;
  }
}

/** A write would give two rows the same value in a unique index. */
export class UniqueIndexError extends TableError {
  override readonly name = "UniqueIndexError";
  readonly status = "ALREADY_EXISTS";
  readonly table: string;
  readonly index: string;
  readonly value: IndexValue;
  /** The row that has the value. */
  readonly holder: TableKey;
  /** The row that was to be written. */
  readonly key: TableKey;

  constructor(table: string, index: string, value: IndexValue, holder: TableKey, key: TableKey) {
    super(
      `table ${table}: write of ${String(key)}: ${String(holder)} already has ${value} in unique index ${index}`,
    );
    this.table = table;
    this.index = index;
    this.value = value;
    this.holder = holder;
    this.key = key;
  }
}

/** A query names an index that the table does not have, or that cannot answer it. */
export class UnknownIndexError extends TableError {
  override readonly name = "UnknownIndexError";
  readonly status = "INVALID_ARGUMENT";

  constructor(table: string, index: string, wanted: "an" | "a value" | "a longest-prefix") {
    super(`table ${table}: ${index} is not ${wanted} index`);
  }
}

/** A text is not an IPv4 or IPv6 address or network. */
export class InvalidAddressError extends TableError {
  override readonly name = "InvalidAddressError";
  readonly status = "INVALID_ARGUMENT";
  readonly text: string;

  constructor(text: string, reason: string) {
    super(`${JSON.stringify(text)} is not an IP address or network: ${reason}`);
    this.text = text;
  }
}

/** A transaction was used in a way that cannot be atomic. */
export class TransactionError extends TableError {
  override readonly name = "TransactionError";
  readonly status = "FAILED_PRECONDITION";
}

/** An initializer was registered twice or too late. */
export class InitializerError extends TableError {
  override readonly name = "InitializerError";
  readonly status = "FAILED_PRECONDITION";
}

/** Changes were asked for from a revision after which deleted rows have been forgotten. */
export class RevisionCompactedError extends TableError {
  override readonly name = "RevisionCompactedError";
  readonly status = "OUT_OF_RANGE";

  constructor(table: string, revision: number, compacted: number) {
    super(
      `table ${table}: changes from revision ${revision}: deletions up to ${compacted} are forgotten; ` +
        "start over from a snapshot",
    );
  }
}

/** A closed cursor was used. */
export class CursorClosedError extends TableError {
  override readonly name = "CursorClosedError";
  readonly status = "CANCELLED";

  constructor(table: string) {
    super(`table ${table}: the change cursor is closed`);
  }
}

/** A derived table's mapping failed for a row. */
export class DeriveError extends TableError {
  override readonly name = "DeriveError";
  readonly status = "INTERNAL";
  /** The row's key in the source table. */
  readonly key: TableKey;

  constructor(source: string, target: string, key: TableKey, cause: unknown) {
    super(`derive ${target} from ${source}: row ${String(key)}: ${messageOf(cause)}`, { cause });
    this.key = key;
  }
}

/** A row that could not be reconciled. */
export interface ReconcileFailure {
  readonly key: TableKey;
  /** The revision of the version, or of the deletion, that failed. */
  readonly revision: number;
  readonly cause: Error;
}

/** Rows that were waited for are in error. */
export class ReconcileError extends TableError {
  override readonly name = "ReconcileError";
  readonly status = "UNAVAILABLE";
  /** All rows in error, with causes. */
  readonly failures: readonly ReconcileFailure[];

  constructor(reconciler: string, revision: number, failures: readonly ReconcileFailure[]) {
    const shown = failures.slice(0, 3).map((f) => `${String(f.key)}: ${f.cause.message}`);
    const more = failures.length > shown.length ? `; and ${failures.length - shown.length} more` : "";
    super(`reconciler ${reconciler}: not reconciled up to revision ${revision}: ${shown.join("; ")}${more}`, {
      cause: failures[0]?.cause,
    });
    this.failures = failures;
  }
}

/** The operations of a reconciler broke their contract, or could not be called at all. */
export class ReconcilerOpsError extends TableError {
  override readonly name = "ReconcilerOpsError";
  readonly status = "INTERNAL";

  constructor(reconciler: string, operation: "update" | "delete" | "prune", reason: string, cause?: unknown) {
    super(`reconciler ${reconciler}: ${operation}: ${reason}`, { cause });
  }
}

/** A reconciler was asked for something that it cannot do any more, or not yet. */
export class ReconcilerStateError extends TableError {
  override readonly name = "ReconcilerStateError";
  readonly status = "FAILED_PRECONDITION";

  constructor(reconciler: string, reason: string) {
    super(`reconciler ${reconciler}: ${reason}`);
  }
}

/** The text of whatever was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Whatever was thrown, as an error. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}
