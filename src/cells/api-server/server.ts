import type { Socket } from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Logger } from "../../hive/index.ts";
import { RefusalError } from "../errors.ts";
import { Connections } from "./connections.ts";
import { credentialsFor } from "./credentials.ts";
import { HealthService } from "./health.ts";
import { addReflection } from "./reflection.ts";
import { type ApiServerSettings, type ListenPlan, planListening } from "./settings.ts";
import { listenOnTcp, type TcpListener } from "./tcp.ts";
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
  readonly #connections = new Connections();
  #unix: UnixListener | undefined;
  #tcp: TcpListener | undefined;

  /** @throws ApiServerSettingsError when settings contradict each other; Error when a service is added twice */
  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#plan = planListening(options.settings);
    this.#server = new Server({
      "grpc.max_receive_message_length": options.settings.maxMessageSize,
      "grpc.max_concurrent_streams": MAX_STREAMS_PER_CONNECTION,
      "grpc.keepalive_time_ms": KEEPALIVE_INTERVAL_MS,
      "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
      "grpc.enable_channelz": 0,
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
    return this.#tcp?.address ?? "";
  }

  /** Listens and serves. @throws SocketError, ApiServerSettingsError; then nothing is left listening */
  async start(): Promise<void> {
    const { socket, tcp } = this.#plan;
    try {
      if (tcp !== undefined) {
        this.#tcp = await listenOnTcp(tcp.address, this.#serving(credentialsFor(tcp.security)));
      }
      if (socket !== "") {
        this.#unix = await listenOnUnixSocket(socket, this.#serving(ServerCredentials.createInsecure()));
      }
    } catch (error) {
      await this.stop(AbortSignal.abort());
      throw error;
    }
    this.#health.set(true);
    this.#options.log.info({ socket: this.socket, listen: this.address }, "API is served");
  }

  /**
   * Stops: refuses new connections, ends streams, lets calls under way finish until the drain timeout or the
   * signal, then cuts them off. Safe to repeat.
   */
  async stop(signal?: AbortSignal): Promise<void> {
    this.#health.set(false);
    this.#unix?.close();
    this.#tcp?.close();
    this.#unix = undefined;
    this.#tcp = undefined;
    this.#options.draining.abort(new RefusalError("UNAVAILABLE", "the agent is stopping"));
    this.#health.close();
    this.#server.tryShutdown((error) => {
      if (error !== undefined) this.#options.log.warn({ err: error }, "the API server did not close cleanly");
    });
    if (await this.#connections.allClosed(this.#options.settings.drainTimeout, signal)) return;
    this.#options.log.warn("calls still under way are cut off");
    await this.#connections.destroyAll();
  }

  /** Hands accepted connections to grpc-js, which itself can neither bind a socket with a mode nor drain. */
  #serving(credentials: ServerCredentials): (socket: Socket) => void {
    const injector = this.#server.createConnectionInjector(credentials);
    return (socket) => {
      this.#connections.add(socket);
      injector.injectConnection(socket);
    };
  }
}
