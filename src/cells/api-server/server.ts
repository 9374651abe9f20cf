import type { Socket } from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Logger } from "../../hive/index.ts";
import { RefusalError } from "../errors.ts";
import { credentialsFor } from "./credentials.ts";
import { HealthService } from "./health.ts";
import { addReflection } from "./reflection.ts";
import { type ApiServerSettings, type ListenPlan, planListening } from "./settings.ts";
import type { ApiServerInfo, ServiceRegistration } from "./types.ts";
import { listenOnUnixSocket, type UnixListener } from "./unix-socket.ts";

/** Finds clients that are gone without a word; a watch would be kept for them. */
const KEEPALIVE_INTERVAL_MS = 60_000;
const KEEPALIVE_TIMEOUT_MS = 20_000;
/** Calls under way on one connection. */
const MAX_STREAMS_PER_CONNECTION = 256;

/** What a server is built from. */
export interface ApiServerOptions {
  readonly settings: ApiServerSettings;
  readonly services: readonly ServiceRegistration[];
  readonly log: Logger;
  /** Aborted when the server begins to stop. */
  readonly draining: AbortController;
}

/** The agent's gRPC server: its services, health and reflection on a Unix socket, TCP or both. */
export class ApiServer implements ApiServerInfo {
  readonly #options: ApiServerOptions;
  readonly #plan: ListenPlan;
  readonly #health = new HealthService();
  readonly #server: Server;
  #unix: UnixListener | undefined;
  #address = "";

  /** @throws ApiServerSettingsError when settings contradict each other; Error when a service is added twice */
  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#plan = planListening(options.settings);
    // Channelz stays enabled: without it grpc-js 1.14 loses sight of connections and cannot cut them off.
    this.#server = new Server({
      "grpc.max_receive_message_length": options.settings.maxMessageSize,
      "grpc.max_concurrent_streams": MAX_STREAMS_PER_CONNECTION,
      "grpc.keepalive_time_ms": KEEPALIVE_INTERVAL_MS,
      "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
    });
    for (const { definition, implementation } of options.services) {
      this.#server.addService(definition, implementation);
    }
    this.#health.addTo(
      this.#server,
      options.services.map(({ name }) => name),
    );
    addReflection(this.#server, options.services);
  }

  get socket(): string {
    return this.#unix === undefined ? "" : this.#plan.socket;
  }

  get address(): string {
    return this.#address;
  }

  /** Listens and serves. @throws SocketError, ApiServerSettingsError; then nothing is left listening */
  async start(): Promise<void> {
    try {
      const { socket, tcp } = this.#plan;
      if (tcp !== undefined) {
        const { host, port } = tcp.address;
        const name = host.includes(":") ? `[${host}]` : host;
        const bound = await this.#bind(`${name}:${port}`, credentialsFor(tcp.security));
        this.#address = `${name}:${bound}`;
      }
      if (socket !== "") this.#unix = await listenOnUnixSocket(socket, this.#injector());
    } catch (error) {
      this.#server.forceShutdown();
      throw error;
    }
    this.#health.set("SERVING");
    this.#options.log.info({ socket: this.socket, listen: this.address }, "API is served");
  }

  /**
   * Stops: refuses new connections, ends streams, lets calls under way finish until the drain timeout or the
   * signal, then cuts them off. Safe to repeat.
   */
  async stop(signal?: AbortSignal): Promise<void> {
    this.#health.set("NOT_SERVING");
    this.#unix?.close();
    this.#unix = undefined;
    this.#address = "";
    this.#options.draining.abort(new RefusalError("UNAVAILABLE", "the agent is stopping"));
    this.#health.close();
    if (!(await this.#drained(signal))) {
      this.#options.log.warn("calls still under way are cut off");
      this.#server.forceShutdown();
    }
  }

  /** Hands accepted Unix connections to grpc-js, which itself cannot bind with a mode. */
  #injector(): (socket: Socket) => void {
    const injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
    return (socket) => injector.injectConnection(socket);
  }

  #bind(address: string, credentials: ServerCredentials): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, credentials, (error, port) => {
        if (error === null) resolve(port);
        else reject(new Error(`listen on ${address}: ${error.message}`, { cause: error }));
      });
    });
  }

  #drained(signal: AbortSignal | undefined): Promise<boolean> {
    return new Promise((resolve) => {
      const finish = (done: boolean) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", giveUp);
        resolve(done);
      };
      const giveUp = () => finish(false);
      const timer = setTimeout(giveUp, this.#options.settings.drainTimeout);
      signal?.addEventListener("abort", giveUp);
      this.#server.tryShutdown((error) => {
        if (error !== undefined)
          this.#options.log.warn({ err: error }, "the API server did not close cleanly");
        finish(true);
      });
      if (signal?.aborted) giveUp();
    });
  }
}
