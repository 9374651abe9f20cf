export { Services, servicesCell } from "./cell.ts";
export { addressKey, hostPort } from "./keys.ts";
export type * from "./types.ts";
export { nodePortRange, serviceViolations } from "./validate.ts";
