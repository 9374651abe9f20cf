import { type Server, type ServerWritableStream, status } from "@grpc/grpc-js";
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  type HealthServer,
  HealthService as healthDefinition,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../gen/health/v1/health.ts";

type WatchCall = ServerWritableStream<HealthCheckRequest, HealthCheckResponse>;

/** Watchers of the health service; orchestrators need one each. */
const MAX_WATCHERS = 64;

/**
 * The standard health service (grpc/doc/health-checking.md): one status for the server, under the empty name,
 * and for every service. Unlike the reference implementation it ends its watches when the server stops, so
 * that they do not hold up the stop, and bounds their number.
 */
export class HealthService {
  readonly #services = new Set([""]);
  readonly #watchers = new Set<WatchCall>();
  #status: ServingStatus = ServingStatus.NOT_SERVING;

  addTo(server: Server, services: readonly string[]): void {
    for (const name of services) this.#services.add(name);
    const implementation: HealthServer = {
      check: (call, callback) => {
        if (this.#services.has(call.request.service)) callback(null, { status: this.#status });
        else callback({ code: status.NOT_FOUND, details: "the server has no such service" });
      },
      list: (_call, callback) => {
        const statuses = [...this.#services].map((name) => [name, { status: this.#status }] as const);
        callback(null, { statuses: Object.fromEntries(statuses) });
      },
      watch: (call) => this.#watch(call),
    };
    server.addService(healthDefinition, implementation);
  }

  /** Tells every caller and watcher from now on. */
  set(serving: boolean): void {
    this.#status = serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
    for (const call of this.#watchers) this.#tell(call);
  }

  /** Ends all watches. */
  close(): void {
    for (const call of this.#watchers) call.end();
    this.#watchers.clear();
  }

  #watch(call: WatchCall): void {
    if (this.#watchers.size >= MAX_WATCHERS) {
      call.emit("error", { code: status.RESOURCE_EXHAUSTED, details: "too many watchers of health" });
      return;
    }
    this.#watchers.add(call);
    call.once("cancelled", () => this.#watchers.delete(call));
    this.#tell(call);
  }

  #tell(call: WatchCall): void {
    const known = this.#services.has(call.request.service);
    call.write({ status: known ? this.#status : ServingStatus.SERVICE_UNKNOWN });
  }
}
