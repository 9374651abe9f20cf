export { ipSyncCell } from "./cell.ts";
