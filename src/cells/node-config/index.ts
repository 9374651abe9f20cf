export { familiesOf, hostPrefix, nodeAddresses } from "./addresses.ts";
export { NodeSettings, nodeConfigCell } from "./cell.ts";
export { hostDeviceName, netDeviceName, overlayDeviceName } from "./own-devices.ts";
export { routeProtocol, sameRoute } from "./routes.ts";
export { quietenIpv6 } from "./sysctls.ts";
export { NodeNetworking } from "./tokens.ts";
export type * from "./types.ts";
