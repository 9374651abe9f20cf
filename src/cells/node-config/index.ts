export { familiesOf, hostPrefix, nodeAddresses } from "./addresses.ts";
export { NodeSettings, nodeConfigCell } from "./cell.ts";
export { hostDeviceName } from "./devices.ts";
export { NodeNetworking } from "./tokens.ts";
export type * from "./types.ts";
