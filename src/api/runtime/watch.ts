import type { Table, TableKey } from "../../table/index.ts";
import type { ApiRuntime, CallContext } from "./context.ts";
import { readerTooSlow, type StreamWriter } from "./writer.ts";

/** The shape that all watch responses over a table have in common. */
export interface WatchMessage<Item> {
  revision: bigint;
  change:
    | { $case: "upsert"; value: Item }
    | { $case: "delete"; value: Item }
    | { $case: "sync"; value: Record<never, never> }
    | undefined;
}

/** Changes taken from the table at a time; the rest stays in the table, where it is coalesced. */
const BATCH = 64;

/**
 * Streams a table: all rows, a sync mark, then changes for as long as the reader stays. Nothing is queued for a
 * slow reader: the changes it has not taken stay in the table, at most one a row, and deleted rows are what
 * they cost. A reader that is blocked for too long, or too far behind, is cut off.
 *
 * @throws RefusalError RESOURCE_EXHAUSTED for a slow reader; the reason of the context's signal
 */
export async function watchTable<Row, Key extends TableKey, Item>(
  table: Table<Row, Key>,
  toItem: (row: Row) => Item,
  context: CallContext,
  out: StreamWriter<WatchMessage<Item>>,
  { limits }: Pick<ApiRuntime, "limits">,
): Promise<void> {
  using cursor = table.changeCursor();
  const snapshotRevision = table.revision;
  let synced = false;
  let sent = 0;

  const blocked = (forMs: number): void => {
    // The snapshot is no lag: it may well be longer than any reader is allowed to fall behind.
    const behind = table.revision - Math.max(cursor.revision, snapshotRevision);
    if (behind > limits.watchLag || (cursor.pending && forMs > limits.readerTimeout)) throw readerTooSlow();
  };
  const send = async (revision: number, change: WatchMessage<Item>["change"]): Promise<void> => {
    sent = Math.max(sent, revision);
    await out.write({ revision: BigInt(sent), change }, blocked);
  };

  for (;;) {
    for (const { kind, row, revision } of cursor.next(BATCH)) {
      await send(revision, { $case: kind, value: toItem(row) });
    }
    if (!synced && (!cursor.pending || cursor.revision >= snapshotRevision)) {
      synced = true;
      await send(snapshotRevision, { $case: "sync", value: {} });
    }
    if (!cursor.pending) await cursor.wait(context.signal);
  }
}
