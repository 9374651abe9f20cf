// Errors of the hive, one class a kind. Each says what was being done, to what, and keeps its cause.

/** Base of all errors the hive throws, so that callers can tell them from those of their own code. */
export class HiveError extends Error {
  override readonly name: string = "HiveError";
}

/** A cell was declared wrongly; thrown by the declaring function itself. */
export class CellDefinitionError extends HiveError {
  override readonly name = "CellDefinitionError";
  constructor(what: string, why: string) {
    super(`cannot declare ${what}: ${why}`);
  }
}
