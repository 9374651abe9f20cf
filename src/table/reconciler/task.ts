import type { RowChange, TableKey } from "../types.ts";

/** One row to be put in place, or taken out of it. */
export interface Task<Row, Key extends TableKey> {
  readonly operation: "update" | "delete";
  readonly key: Key;
  readonly row: Row;
  /** The revision of the version, or of the deletion. */
  readonly revision: number;
  /** The first revision whose change to this row has not been applied yet. */
  readonly since: number;
}

/** The task that a change asks for; `since` reaches back to earlier changes that were never applied. */
export function taskOf<Row, Key extends TableKey>(
  change: RowChange<Row, Key>,
  since: number,
): Task<Row, Key> {
  const { key, row, revision } = change;
  return { operation: change.kind === "upsert" ? "update" : "delete", key, row, revision, since };
}
