export { SOCKET_PROGRAMS, SocketAttacher } from "./attacher.ts";
export { SocketLbConfig, socketLbCell } from "./cell.ts";
export { ownCgroupMount } from "./cgroup-root.ts";
export { StaleFlows } from "./stale-flows.ts";
export type * from "./types.ts";
