import { config, invoke, Lifecycle, Log, module, provide, providePrivate, token } from "../../hive/index.ts";
import { ApiServer } from "./server.ts";
import { ApiServerConfig, apiServerFlags } from "./settings.ts";
import { ApiServerLimits, ApiServing, Draining, GrpcServices } from "./tokens.ts";

const drainController = token<AbortController>("api-server-drain-controller");
const server = token<ApiServer>("api-server");

/**
 * Serves what other cells contribute to {@link GrpcServices}. It takes all of them, so it starts after
 * everything that they need has started, and it stops before everything else.
 */
export const apiServerCell = module(
  "api-server",
  "gRPC server on a Unix socket and TCP",
  config(ApiServerConfig, apiServerFlags),
  providePrivate(drainController, {}, () => new AbortController()),
  provide(Draining, { drainController }, ({ drainController }) => drainController.signal),
  provide(ApiServerLimits, { settings: ApiServerConfig }, ({ settings }) => ({
    maxWatchers: settings.maxWatchers,
    watchLag: settings.watchLag,
    monitorBuffer: settings.monitorBuffer,
    readerTimeout: settings.readerTimeout,
  })),
  providePrivate(
    server,
    {
      settings: ApiServerConfig,
      services: GrpcServices,
      draining: drainController,
      log: Log,
      lifecycle: Lifecycle,
    },
    ({ lifecycle, ...options }) => {
      const api = new ApiServer(options);
      lifecycle.append({
        name: "serve the API",
        start: () => api.start(),
        stop: (signal) => api.stop(signal),
        stopFirst: true,
      });
      return api;
    },
  ),
  provide(ApiServing, { server }, ({ server }) => server),
  invoke({ server }, () => undefined),
);
