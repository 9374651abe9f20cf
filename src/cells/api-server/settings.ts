import { isIP } from "node:net";
import { type ConfigOf, flag, token } from "../../hive/index.ts";

/** sun_path of `struct sockaddr_un` has 108 bytes with its final zero (linux/un.h). */
const MAX_SOCKET_PATH_BYTES = 107;

const atLeast =
  (minimum: number) =>
  (value: number): string | undefined =>
    value < minimum ? `must be at least ${minimum}` : undefined;

/** Flags of the API server. */
export const apiServerFlags = {
  socket: flag.string({
    default: "/run/waggle/waggle.sock",
    help: "Unix socket of the API; readable by its owner alone. Empty for none",
    validate: (path) =>
      path !== "" && !path.startsWith("/")
        ? "must be an absolute path"
        : Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES
          ? `is longer than the ${MAX_SOCKET_PATH_BYTES} bytes of a socket's path`
          : undefined,
  }),
  listen: flag.string({
    default: "",
    help: "host:port on which the API is served over TCP as well, with mutual TLS. Empty for none",
    validate: (value) =>
      value === "" || parseListen(value) !== undefined
        ? undefined
        : "must be host:port, such as 0.0.0.0:9443",
  }),
  "tls-cert": flag.string({ default: "", help: "PEM file with the server's certificate and its chain" }),
  "tls-key": flag.string({ default: "", help: "PEM file with the key of tls-cert" }),
  "tls-client-ca": flag.string({
    default: "",
    help: "PEM file with the authorities whose client certificates are accepted",
  }),
  insecure: flag.bool({
    default: false,
    help: "serve TCP without TLS; only on a loopback address, where every local user gets in",
  }),
  "max-watchers": flag.int({
    default: 128,
    help: "watch and monitor streams that may be open at a time",
    validate: atLeast(1),
  }),
  "watch-lag": flag.int({
    default: 65_536,
    help: "changes that a watcher which does not read may fall behind before it is cut off",
    validate: atLeast(1),
  }),
  "monitor-buffer": flag.int({
    default: 4096,
    help: "events kept for each monitor reader that is behind; further ones are counted as lost",
    validate: atLeast(1),
  }),
  "reader-timeout": flag.duration({
    default: "30s",
    help: "how long a stream's reader may leave what is there for it unread",
    validate: atLeast(1000),
  }),
  "max-message-size": flag.int({
    default: 4 * 1024 * 1024,
    help: "bytes of a request that is accepted",
    validate: atLeast(64 * 1024),
  }),
  "drain-timeout": flag.duration({
    default: "5s",
    help: "how long calls under way may take when the agent stops",
  }),
} as const;

/** Settings of the API server. */
export type ApiServerSettings = ConfigOf<typeof apiServerFlags>;
export const ApiServerConfig = token<ApiServerSettings>("api-server-config");

/** A TCP address to listen on. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** Reads "host:port"; IPv6 addresses in brackets. Undefined when it is none. */
function parseListen(value: string): ListenAddress | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(value);
  if (match === null) return undefined;
  const [, bracketed, plain, digits] = match;
  const port = Number(digits);
  if (port > 65_535 || (bracketed !== undefined && isIP(bracketed) !== 6)) return undefined;
  return { host: bracketed ?? plain ?? "", port };
}

/** Whether only processes of this machine reach the host. A name other than localhost may resolve to anything. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** Settings contradict each other, or would serve somebody they should not. */
export class ApiServerSettingsError extends Error {
  override readonly name = "ApiServerSettingsError";
}

/** How TCP is secured. */
export type TcpSecurity =
  | { readonly kind: "insecure" }
  | { readonly kind: "mutual-tls"; readonly cert: string; readonly key: string; readonly clientCa: string };

/** Where to listen, once all settings agree. */
export interface ListenPlan {
  /** Empty for none. */
  readonly socket: string;
  readonly tcp: { readonly address: ListenAddress; readonly security: TcpSecurity } | undefined;
}

/** @throws ApiServerSettingsError saying which settings do not go together */
export function planListening(settings: ApiServerSettings): ListenPlan {
  const { socket, listen, insecure, tlsCert, tlsKey, tlsClientCa } = settings;
  const given = [tlsCert, tlsKey, tlsClientCa].filter((file) => file !== "").length;
  if (listen === "") {
    if (socket === "")
      throw new ApiServerSettingsError("socket and listen are both empty: nobody could connect");
    return { socket, tcp: undefined };
  }
  const address = parseListen(listen);
  if (address === undefined) throw new ApiServerSettingsError(`listen: ${listen} is not host:port`);
  if (given === 3) {
    if (insecure)
      throw new ApiServerSettingsError("insecure contradicts tls-cert, tls-key and tls-client-ca");
    const security = { kind: "mutual-tls", cert: tlsCert, key: tlsKey, clientCa: tlsClientCa } as const;
    return { socket, tcp: { address, security } };
  }
  if (given > 0) {
    throw new ApiServerSettingsError("tls-cert, tls-key and tls-client-ca belong together: set all three");
  }
  if (!insecure) {
    throw new ApiServerSettingsError(
      "listen needs tls-cert, tls-key and tls-client-ca, or insecure on a loopback address",
    );
  }
  if (!isLoopback(address.host)) {
    throw new ApiServerSettingsError(`insecure: ${address.host} is not a loopback address`);
  }
  return { socket, tcp: { address, security: { kind: "insecure" } } };
}
