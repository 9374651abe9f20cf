// A server of the real API over fake cells, on a Unix socket of its own.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CallOptions, type Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import type { ExecutionContext } from "ava";
import {
  type ApiLimits,
  agentService,
  datapathService,
  defaultLimits,
  endpointService,
  identityService,
  ipCacheService,
  loadBalancerService,
  logCalls,
  nodeService,
  pluginService,
  StreamSlots,
} from "../../src/api/index.ts";
import { ApiServer, type ApiServerSettings } from "../../src/cells/api-server/index.ts";
import { BadRequest } from "../../src/gen/google/rpc/error_details.ts";
import { Status } from "../../src/gen/google/rpc/status.ts";
import { AgentServiceClient } from "../../src/gen/waggle/v1/agent.ts";
import { DatapathServiceClient } from "../../src/gen/waggle/v1/datapath.ts";
import { EndpointServiceClient } from "../../src/gen/waggle/v1/endpoint.ts";
import { IdentityServiceClient } from "../../src/gen/waggle/v1/identity.ts";
import { IPCacheServiceClient } from "../../src/gen/waggle/v1/ipcache.ts";
import { LoadBalancerServiceClient } from "../../src/gen/waggle/v1/load_balancer.ts";
import { NodeServiceClient } from "../../src/gen/waggle/v1/node.ts";
import { PluginServiceClient } from "../../src/gen/waggle/v1/plugin.ts";
import { Hive, type LogLine, makeLogger } from "../../src/hive/index.ts";
import { fakeCells } from "./fake-cells.ts";

export interface ServeOptions {
  readonly limits?: Partial<ApiLimits>;
  readonly settings?: Partial<ApiServerSettings>;
}

/** A directory that goes when the test is over. */
export function temporaryDirectory(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), "waggle-api-"));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Settings of a server on a socket in `directory`. */
export function settingsFor(directory: string, change: Partial<ApiServerSettings> = {}): ApiServerSettings {
  return {
    socket: join(directory, "waggle.sock"),
    listen: "",
    tlsCert: "",
    tlsKey: "",
    tlsClientCa: "",
    insecure: false,
    maxWatchers: 128,
    watchLag: 65_536,
    monitorBuffer: 4096,
    readerTimeout: 30_000,
    maxMessageSize: 4 * 1024 * 1024,
    drainTimeout: 1000,
    ...change,
  };
}

/** Builds the API over fakes; nothing listens yet. */
export function build(t: ExecutionContext, options: ServeOptions = {}) {
  const directory = temporaryDirectory(t);
  const settings = settingsFor(directory, options.settings);
  const logs: LogLine[] = [];
  const log = makeLogger((line) => logs.push(line));
  const draining = new AbortController();
  const limits = { ...defaultLimits, ...options.limits };
  const streams = new StreamSlots(limits.maxWatchers);
  const runtime = { log, limits, streams, draining: draining.signal, interceptors: [logCalls] };
  const cells = fakeCells();
  const hive = new Hive({ name: "test", cells: [] });
  const inspector = { describe: () => hive.describe(), dot: () => hive.dot() };
  const health = {
    snapshot: () => rootHealth,
    changes: () => cells.monitor.messages as never,
  };
  const services = [
    endpointService(cells, runtime),
    ipCacheService(cells, runtime),
    identityService(cells, runtime),
    nodeService(cells, runtime),
    loadBalancerService(cells, runtime),
    pluginService(cells, runtime),
    datapathService(cells, runtime),
    agentService({ ...cells, version: "1.2.3", health, hive: inspector, jobs: { list: () => [] } }, runtime),
  ];
  const server = new ApiServer({ settings, services, log, draining });
  t.teardown(() => server.stop(AbortSignal.abort()));
  return { server, cells, settings, logs, runtime, directory };
}

const rootHealth = {
  name: "",
  path: "",
  own: "degraded",
  level: "degraded",
  message: "the disk is slow",
  since: new Date(0),
  updated: new Date(0),
  children: [],
} as const;

/** Builds, starts and connects. */
export async function serve(t: ExecutionContext, options: ServeOptions = {}) {
  const built = build(t, options);
  await built.server.start();
  const target = `unix:${built.settings.socket}`;
  const insecure = credentials.createInsecure();
  const clients = {
    endpoints: new EndpointServiceClient(target, insecure),
    ipcache: new IPCacheServiceClient(target, insecure),
    identities: new IdentityServiceClient(target, insecure),
    nodes: new NodeServiceClient(target, insecure),
    services: new LoadBalancerServiceClient(target, insecure),
    plugins: new PluginServiceClient(target, insecure),
    datapath: new DatapathServiceClient(target, insecure),
    agent: new AgentServiceClient(target, insecure),
  };
  t.teardown(() => {
    for (const client of Object.values(clients)) client.close();
  });
  return { ...built, ...clients };
}

/** The longest of the generated overloads, which is the one that inference sees. */
type UnaryMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => unknown;

/** Calls a method of a client with a message as its type's `fromPartial` made it. */
export function call<Request, Response>(
  client: Client,
  method: UnaryMethod<Request, Response>,
  request: NoInfer<Request>,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    method.call(client, request, new Metadata(), {}, (error, response) =>
      error === null ? resolve(response) : reject(error),
    );
  });
}

/** The status a call ends with. */
export async function failure(promise: Promise<unknown>): Promise<ServiceError> {
  try {
    await promise;
  } catch (error) {
    return error as ServiceError;
  }
  throw new Error("the call succeeded");
}

/** The fields a call refuses, with why. */
export function violations(error: ServiceError): Record<string, string> {
  const [details] = error.metadata.get("grpc-status-details-bin");
  if (!Buffer.isBuffer(details)) return {};
  const any = Status.decode(details).details.find(({ typeUrl }) => typeUrl.endsWith("google.rpc.BadRequest"));
  const found = any === undefined ? [] : BadRequest.decode(any.value).fieldViolations;
  return Object.fromEntries(found.map(({ field, description }) => [field, description]));
}
