export { DatapathConfig, datapathCell, datapathResourcesCell } from "./cell.ts";
export {
  type EntryStates,
  type EntryStatus,
  encodeEntry,
  entryStatus,
  type ReconciledMap,
  type RowPerEntry,
  rowPerEntry,
  type WantedEntry,
} from "./entry-states.ts";
export { pinLayout } from "./maps.ts";
export {
  DatapathToken,
  GlobalMapsToken,
  PodFamiliesToken,
  ReconciledMaps,
  TemplatesToken,
} from "./tokens.ts";
export type * from "./types.ts";
