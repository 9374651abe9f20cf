/** How programs learn that a table has changed of which they remember something (bpf/lib/memo.h). */
import { type BpfMap, MapType } from "../types.ts";
import { defineMap } from "./definition.ts";
import { u32, u64 } from "./layout.ts";

/** Tables that programs remember something of; as `EPOCH_*` in bpf/lib/memo.h. */
export const EpochTable = { ipcache: 0 } as const;
export type EpochTable = (typeof EpochTable)[keyof typeof EpochTable];

const TABLE_NAMES: readonly string[] = Object.keys(EpochTable);

/** How often each table has changed. The agent writes, all programs of network devices read. */
export const epochsMap = defineMap<number, bigint>({
  name: "waggle_epochs",
  type: MapType.array,
  maxEntries: TABLE_NAMES.length,
  key: u32,
  value: u64,
  formatKey: (table) => TABLE_NAMES[table] ?? String(table),
  formatValue: (epoch) => `epoch=${epoch}`,
});

/**
 * Makes programs forget what they remember of a table. Whoever changes entries that programs may have looked up, or may
 * have looked for in vain, calls this after the change and before saying that it is in the kernel. Only one process
 * may do so at a time.
 *
 * @throws DatapathError
 */
export function advanceEpoch(epochs: BpfMap<number, bigint>, table: EpochTable): void {
  epochs.update(table, (epochs.lookup(table) ?? 0n) + 1n);
}
