export { DatapathConfig, datapathCell, datapathResourcesCell } from "./cell.ts";
export { pinLayout } from "./maps.ts";
export { DatapathToken, GlobalMapsToken, TemplatesToken } from "./tokens.ts";
export type * from "./types.ts";
