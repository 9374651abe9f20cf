import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  type MethodDefinition,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import type { Logger } from "../../hive/index.ts";
import { type ApiRuntime, type CallContext, intercept } from "./context.ts";
import { CallError, toServiceError } from "./errors.ts";
import { StreamWriter } from "./writer.ts";

/** Answers one request. */
export type UnaryHandler<Request, Response> = (
  request: Request,
  context: CallContext,
) => Response | Promise<Response>;

/** Answers one request with a stream; the stream ends when the promise resolves. */
export type StreamHandler<Request, Response> = (
  request: Request,
  context: CallContext,
  out: StreamWriter<Response>,
) => Promise<void>;

interface Unary<Request, Response> {
  readonly responseStream: false;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseSerialize: (value: Response) => Buffer;
}

interface Streaming<Request, Response> {
  readonly responseStream: true;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseSerialize: (value: Response) => Buffer;
}

/** A handler for every method of a generated service definition. */
export type Handlers<Definition> = {
  readonly [Method in keyof Definition]: Definition[Method] extends Unary<infer Request, infer Response>
    ? UnaryHandler<Request, Response>
    : Definition[Method] extends Streaming<infer Request, infer Response>
      ? StreamHandler<Request, Response>
      : never;
};

/**
 * Turns plain handlers into an implementation for grpc-js. Handlers throw what they like; cancellation reaches
 * them as the context's signal.
 */
export function implement<Definition extends ServiceDefinition>(
  definition: Definition,
  handlers: Handlers<Definition>,
  runtime: ApiRuntime,
): UntypedServiceImplementation {
  const methods = Object.entries(definition as ServiceDefinition).map(([name, method]) => {
    const handler: unknown = handlers[name as keyof Definition];
    return [
      name,
      method.responseStream
        ? streamCall(method, handler as StreamHandler<unknown, unknown>, runtime)
        : unaryCall(method, handler as UnaryHandler<unknown, unknown>, runtime),
    ] as const;
  });
  return Object.fromEntries(methods);
}

function unaryCall(
  method: MethodDefinition<unknown, unknown>,
  handler: UnaryHandler<unknown, unknown>,
  runtime: ApiRuntime,
): handleUnaryCall<unknown, unknown> {
  return (call, callback) => {
    const context = new OpenCall(call, method.path, runtime.log);
    let response: unknown;
    intercept(runtime.interceptors, context, async () => {
      response = await handler(call.request, context);
    }).then(
      () => callback(null, response),
      (error: unknown) => callback(toServiceError(error, context)),
    );
  };
}

function streamCall(
  method: MethodDefinition<unknown, unknown>,
  handler: StreamHandler<unknown, unknown>,
  runtime: ApiRuntime,
): handleServerStreamingCall<unknown, unknown> {
  return (call) => {
    const context = new OpenCall(call, method.path, runtime.log);
    const out = new StreamWriter<unknown>(call, context.signal);
    const drain = () => context.abort(runtime.draining.reason);
    intercept(runtime.interceptors, context, async () => {
      const release = runtime.streams.acquire();
      runtime.draining.addEventListener("abort", drain);
      try {
        runtime.draining.throwIfAborted();
        await handler(call.request, context, out);
      } finally {
        runtime.draining.removeEventListener("abort", drain);
        release();
      }
    }).then(
      () => call.end(),
      (error: unknown) => call.emit("error", toServiceError(error, context)),
    );
  };
}

type AnyCall = ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>;

/**
 * What a handler knows of its call, made when it asks for it: most calls are over before anybody would have listened
 * for their end, and grpc-js tells of a cancellation at the end of every one.
 */
class OpenCall implements CallContext {
  readonly method: string;
  readonly log: Logger;
  readonly #call: AnyCall;
  #controller: AbortController | undefined;

  constructor(call: AnyCall, method: string, log: Logger) {
    this.#call = call;
    this.method = method;
    this.log = log;
  }

  get peer(): string {
    return this.#call.getPeer();
  }

  get signal(): AbortSignal {
    return this.#aborting.signal;
  }

  abort(reason: unknown): void {
    this.#aborting.abort(reason);
  }

  get #aborting(): AbortController {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      const cancel = (): void => controller.abort(cancellation(this.#call));
      if (this.#call.cancelled) cancel();
      else this.#call.once("cancelled", cancel);
      this.#controller = controller;
    }
    return this.#controller;
  }
}

function cancellation(call: AnyCall): CallError {
  const deadline = call.getDeadline();
  const passed = Number(deadline) <= Date.now();
  return passed
    ? new CallError(status.DEADLINE_EXCEEDED, "the call's deadline passed")
    : new CallError(status.CANCELLED, "the call was cancelled");
}
