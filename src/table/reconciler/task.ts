import type { CoalescedChange, TableKey } from "../types.ts";

/**
 * One row to be put in place, or taken out of it: a change that has not been applied yet, `since` the first revision
 * whose change to the row has not. Changes as the cursor hands them out serve as they are, for there may be ten
 * thousands of them.
 */
export type Task<Row, Key extends TableKey> = CoalescedChange<Row, Key>;

/** The task that a change asks for; `since` reaches back to earlier changes that were never applied. */
export function taskOf<Row, Key extends TableKey>(
  change: CoalescedChange<Row, Key>,
  since: number,
): Task<Row, Key> {
  if (since === change.since) return change;
  // Not by spreading: the history's own records have accessors.
  const { kind, key, row, revision } = change;
  return { kind, key, row, revision, since };
}
