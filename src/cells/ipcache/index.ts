export { IpCaches, ipcacheCell } from "./cell.ts";
export { isSameEntry } from "./feed.ts";
export { outranks, sourcePriority } from "./sources.ts";
export type * from "./types.ts";
export { canonicalPrefix } from "./validate.ts";
