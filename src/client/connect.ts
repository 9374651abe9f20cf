import { readFileSync } from "node:fs";
import { type ChannelCredentials, Client, credentials } from "@grpc/grpc-js";
import { HealthService } from "../gen/health/v1/health.ts";
import { AgentServiceService } from "../gen/waggle/v1/agent.ts";
import { DatapathServiceService } from "../gen/waggle/v1/datapath.ts";
import { EndpointServiceService } from "../gen/waggle/v1/endpoint.ts";
import { IdentityServiceService } from "../gen/waggle/v1/identity.ts";
import { IPCacheServiceService } from "../gen/waggle/v1/ipcache.ts";
import { LoadBalancerServiceService } from "../gen/waggle/v1/load_balancer.ts";
import { NodeServiceService } from "../gen/waggle/v1/node.ts";
import { PluginServiceService } from "../gen/waggle/v1/plugin.ts";
import { type Api, api } from "./api.ts";

/** Where an agent listens. */
export type Target =
  | { readonly kind: "socket"; readonly path: string }
  | { readonly kind: "address"; readonly address: string; readonly tls: TlsFiles | undefined };

/** Paths of PEM files. Without `ca` the system's roots are trusted. */
export interface TlsFiles {
  readonly ca?: string;
  readonly certificate?: string;
  readonly key?: string;
  /** Name expected in the server's certificate, when the address is not it. */
  readonly serverName?: string;
}

/** All services of one agent. */
export interface AgentClient {
  readonly target: Target;
  readonly agent: Api<typeof AgentServiceService>;
  readonly nodes: Api<typeof NodeServiceService>;
  readonly endpoints: Api<typeof EndpointServiceService>;
  readonly identities: Api<typeof IdentityServiceService>;
  readonly ipcache: Api<typeof IPCacheServiceService>;
  readonly services: Api<typeof LoadBalancerServiceService>;
  readonly plugins: Api<typeof PluginServiceService>;
  readonly datapath: Api<typeof DatapathServiceService>;
  readonly health: Api<typeof HealthService>;
  close(): void;
}

/** Milliseconds; enough for a plugin to be compiled and linked into hundreds of endpoints. */
export const defaultTimeoutMs = 60_000;

const channelOptions = {
  // Agents restart quickly and are close by: look again soon.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
  // Pages of big maps.
  "grpc.max_receive_message_length": 64 * 1024 * 1024,
};

function channelCredentials(target: Target): ChannelCredentials {
  if (target.kind === "socket" || target.tls === undefined) return credentials.createInsecure();
  const { ca, certificate, key } = target.tls;
  const read = (file: string | undefined): Buffer | null => (file === undefined ? null : readFileSync(file));
  return credentials.createSsl(read(ca), read(key), read(certificate));
}

/** The target in words. */
export const describeTarget = (target: Target): string =>
  target.kind === "socket" ? `the socket ${target.path}` : target.address;

/**
 * Makes a client; connects with the first call. Calls fail with CallError.
 * @throws Error when a TLS file cannot be read
 */
export function connect(target: Target, timeoutMs = defaultTimeoutMs): AgentClient {
  const serverName = target.kind === "address" ? target.tls?.serverName : undefined;
  const client = new Client(
    target.kind === "socket" ? `unix:${target.path}` : target.address,
    channelCredentials(target),
    {
      ...channelOptions,
      ...(serverName === undefined ? {} : { "grpc.ssl_target_name_override": serverName }),
    },
  );
  return {
    target,
    agent: api(client, AgentServiceService, timeoutMs),
    nodes: api(client, NodeServiceService, timeoutMs),
    endpoints: api(client, EndpointServiceService, timeoutMs),
    identities: api(client, IdentityServiceService, timeoutMs),
    ipcache: api(client, IPCacheServiceService, timeoutMs),
    services: api(client, LoadBalancerServiceService, timeoutMs),
    plugins: api(client, PluginServiceService, timeoutMs),
    datapath: api(client, DatapathServiceService, timeoutMs),
    health: api(client, HealthService, timeoutMs),
    close: () => client.close(),
  };
}
