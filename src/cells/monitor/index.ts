export { DatapathMetrics, MonitorConfig, Monitoring, monitorCell } from "./cell.ts";
export type * from "./types.ts";
