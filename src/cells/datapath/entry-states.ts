import type { TypedMapSpec } from "../../datapath/index.ts";
import type { Reconciler, RowStatus, Table, TableKey } from "../../table/index.ts";

/** How an entry of a map stands with what the agent wants there. */
export interface EntryStatus {
  /** sync: as wanted; pending: to be written, or written again; stale: nobody wants it, it is to be deleted. */
  readonly state: "sync" | "pending" | "stale";
  /** Why the last attempt failed; there will be another. */
  readonly error?: string;
}

/** An entry that is wanted, whatever the kernel holds. */
export interface WantedEntry {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly status: EntryStatus;
}

/** One look at how the entries of a map stand. */
export interface EntryStates {
  /** @param key bytes as the kernel has them */
  status(key: Buffer): EntryStatus;
  /** Entries that are wanted and may not be there: all that are pending. */
  outstanding(): readonly WantedEntry[];
}

/** A map whose entries are made from a table. Cells contribute theirs to the group `ReconciledMaps`. */
export interface ReconciledMap {
  /** C name of the map. */
  readonly map: string;
  /** Cheap enough for every page of a listing. */
  look(): EntryStates;
}

/** The status of an entry that a row, or nobody, wants, from what the reconciler says of the row. */
export function entryStatus(row: RowStatus | undefined, wanted: boolean): EntryStatus {
  if (wanted && (row?.kind === "done" || row?.kind === "refreshing")) return { state: "sync" };
  return {
    state: wanted ? "pending" : "stale",
    ...(row?.error === undefined ? {} : { error: row.error.message }),
  };
}

/** An entry in the kernel's bytes. */
export function encodeEntry<K, V>(
  spec: TypedMapSpec<K, V>,
  key: K,
  value: V,
): { readonly key: Buffer; readonly value: Buffer } {
  const encoded = { key: Buffer.alloc(spec.keySize), value: Buffer.alloc(spec.valueSize) };
  spec.key.encode(key, encoded.key, 0);
  spec.value.encode(value, encoded.value, 0);
  return encoded;
}

/** A map with one entry a row. */
export interface RowPerEntry<Row, Key extends TableKey, K, V> {
  readonly spec: TypedMapSpec<K, V>;
  readonly table: Table<Row, Key>;
  readonly reconciler: Pick<Reconciler<Row, Key>, "status" | "metrics">;
  /** The key of the row that an entry is made from. */
  rowKey(key: K): Key;
  entry(row: Row): readonly [K, V];
}

/** The states of a map with one entry a row. */
export function rowPerEntry<Row, Key extends TableKey, K, V>(
  parts: RowPerEntry<Row, Key, K, V>,
): ReconciledMap {
  const { spec, table, reconciler } = parts;
  const settled = (): boolean => {
    const { inError, revision } = reconciler.metrics();
    return inError === 0 && revision >= table.revision;
  };
  const states: EntryStates = {
    status(bytes) {
      const key = parts.rowKey(spec.key.decode(bytes, 0));
      // Before all rows are back after a restart, none can be said to be missing.
      return entryStatus(reconciler.status(key), table.has(key) || !table.initialized);
    },
    outstanding() {
      if (settled()) return [];
      return table.list().flatMap((row) => {
        const status = entryStatus(reconciler.status(table.keyOf(row)), true);
        return status.state === "sync" ? [] : [{ ...encodeEntry(spec, ...parts.entry(row)), status }];
      });
    },
  };
  return { map: spec.name, look: () => states };
}
