export { apiServerCell } from "./cell.ts";
export { ApiServer, type ApiServerOptions } from "./server.ts";
export {
  ApiServerConfig,
  type ApiServerSettings,
  ApiServerSettingsError,
  apiServerFlags,
  type ListenAddress,
} from "./settings.ts";
export { ApiServerLimits, ApiServing, Draining, GrpcServices } from "./tokens.ts";
export type * from "./types.ts";
export { SocketError } from "./unix-socket.ts";
