// An agent that is only its API: handlers given by a test, on a Unix socket of its own.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { runCli } from "../../src/cli/run.ts";
import { BadRequest } from "../../src/gen/google/rpc/error_details.ts";
import { Status } from "../../src/gen/google/rpc/status.ts";
import { HealthService } from "../../src/gen/health/v1/health.ts";
import { AgentServiceService } from "../../src/gen/waggle/v1/agent.ts";
import { DatapathServiceService } from "../../src/gen/waggle/v1/datapath.ts";
import { EndpointServiceService } from "../../src/gen/waggle/v1/endpoint.ts";
import { IdentityServiceService } from "../../src/gen/waggle/v1/identity.ts";
import { IPCacheServiceService } from "../../src/gen/waggle/v1/ipcache.ts";
import { LoadBalancerServiceService } from "../../src/gen/waggle/v1/load_balancer.ts";
import { NodeServiceService } from "../../src/gen/waggle/v1/node.ts";
import { PluginServiceService } from "../../src/gen/waggle/v1/plugin.ts";

const definitions: readonly ServiceDefinition[] = [
  AgentServiceService,
  DatapathServiceService,
  EndpointServiceService,
  HealthService,
  IdentityServiceService,
  IPCacheServiceService,
  LoadBalancerServiceService,
  NodeServiceService,
  PluginServiceService,
];

/** A refusal as the agent sends it: a status, and fields in the details trailer. */
export class Refusal extends Error {
  readonly code: status;
  readonly metadata = new Metadata();
  readonly details: string;

  constructor(code: status, message: string, fields: Readonly<Record<string, string>> = {}) {
    super(message);
    this.code = code;
    this.details = message;
    const violations = Object.entries(fields).map(([field, description]) => ({ field, description }));
    if (violations.length === 0) return;
    const badRequest = BadRequest.fromPartial({ fieldViolations: violations });
    const value = Buffer.from(BadRequest.encode(badRequest).finish());
    const details = [{ typeUrl: "type.googleapis.com/google.rpc.BadRequest", value }];
    this.metadata.set(
      "grpc-status-details-bin",
      Buffer.from(Status.encode({ code, message, details }).finish()),
    );
  }
}

/** Returned by a handler that never answers. */
export const silence = Symbol("silence");

/** By method name: takes the request, returns the response, or an array for a stream; may throw a Refusal. */
export type Handlers = Readonly<Record<string, (request: never) => unknown>>;

function implement(definition: ServiceDefinition, handlers: Handlers): UntypedServiceImplementation {
  const methods = Object.entries(definition).map(([name, method]) => {
    const handler = handlers[name] as ((request: unknown) => unknown) | undefined;
    const missing = new Refusal(status.UNIMPLEMENTED, `${name} is not part of this test`);
    const answer = (request: unknown): unknown => {
      if (handler === undefined) throw missing;
      return handler(request);
    };
    const unary = (call: ServerUnaryCall<unknown, unknown>, done: sendUnaryData<unknown>): void => {
      try {
        const response = answer(call.request);
        if (response !== silence) done(null, response);
      } catch (error) {
        done(error as Refusal);
      }
    };
    const streaming = (call: ServerWritableStream<unknown, unknown>): void => {
      try {
        for (const element of answer(call.request) as readonly unknown[]) call.write(element);
        call.end();
      } catch (error) {
        call.emit("error", error);
      }
    };
    return [name, method.responseStream ? streaming : unary] as const;
  });
  return Object.fromEntries(methods) as UntypedServiceImplementation;
}

/** What a command line came to. */
export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function collect(argv: readonly string[]): Promise<Outcome> {
  const io = { out: new PassThrough(), err: new PassThrough(), env: {} };
  const texts = { out: "", err: "" };
  io.out.on("data", (data: Buffer) => {
    texts.out += String(data);
  });
  io.err.on("data", (data: Buffer) => {
    texts.err += String(data);
  });
  const code = await runCli(argv, io);
  return { code, ...texts };
}

/** Runs a command line against nobody. */
export const runAlone = collect;

/** Starts an agent with these handlers, runs one command line against it, and stops it. */
export async function run(handlers: Handlers, ...argv: readonly string[]): Promise<Outcome> {
  const directory = await mkdtemp(join(tmpdir(), "waggle-cli-"));
  const server = new Server();
  for (const definition of definitions) server.addService(definition, implement(definition, handlers));
  const socket = join(directory, "waggle.sock");
  try {
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      );
    });
    return await collect([...argv, "--socket", socket]);
  } finally {
    server.forceShutdown();
    await rm(directory, { recursive: true, force: true });
  }
}
