// Typed promises over gRPC: a service definition as ts-proto generates it becomes an object with one function a method.

import {
  type CallOptions,
  type Client,
  type ClientReadableStream,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { CallError } from "./errors.ts";

/** What a generated method definition looks like. */
interface Method {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  // Contravariant in the message: any concrete serializer is one of these.
  readonly requestSerialize: (value: never) => Buffer;
  readonly responseDeserialize: (value: Buffer) => unknown;
}

type Methods = Readonly<Record<string, Method>>;
type Request<M extends Method> = Parameters<M["requestSerialize"]>[0];
type Response<M extends Method> = ReturnType<M["responseDeserialize"]>;

/** Per call. */
export interface CallSettings {
  readonly signal?: AbortSignal;
  /** Milliseconds until the call is given up; overrides the connection's. 0: never. */
  readonly timeoutMs?: number;
  /** Wait for a server that is not there yet instead of failing at once. */
  readonly waitForReady?: boolean;
}

/** A service as functions: unary methods return promises, streaming ones async iterables. */
export type Api<D extends Methods> = {
  readonly [N in keyof D]: D[N]["responseStream"] extends true
    ? (request: Request<D[N]>, settings?: CallSettings) => AsyncIterable<Response<D[N]>>
    : (request: Request<D[N]>, settings?: CallSettings) => Promise<Response<D[N]>>;
};

const callOptions = (defaultTimeoutMs: number, settings: CallSettings): CallOptions => {
  const timeoutMs = settings.timeoutMs ?? defaultTimeoutMs;
  return timeoutMs > 0 ? { deadline: Date.now() + timeoutMs } : {};
};

const metadataFor = (settings: CallSettings): Metadata =>
  new Metadata({ waitForReady: settings.waitForReady ?? false });

function unary(client: Client, method: Method, timeoutMs: number) {
  return (request: never, settings: CallSettings = {}): Promise<unknown> =>
    new Promise((resolve, reject) => {
      settings.signal?.throwIfAborted();
      const cancel = (): void => call.cancel();
      const call = client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        metadataFor(settings),
        callOptions(timeoutMs, settings),
        (error: ServiceError | null, response?: unknown) => {
          settings.signal?.removeEventListener("abort", cancel);
          if (error === null) resolve(response);
          else reject(CallError.from(error, method.path));
        },
      );
      settings.signal?.addEventListener("abort", cancel, { once: true });
    });
}

async function* stream(call: ClientReadableStream<unknown>, method: Method, signal: AbortSignal | undefined) {
  const cancel = (): void => call.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    for await (const element of call) yield element;
  } catch (error) {
    if (signal?.aborted !== true) throw CallError.from(error, method.path);
  } finally {
    signal?.removeEventListener("abort", cancel);
    // A reader that leaves early must not keep the server sending; the resulting status is of no interest.
    call.on("error", () => undefined);
    call.cancel();
  }
}

function streaming(client: Client, method: Method) {
  return (request: never, settings: CallSettings = {}): AsyncIterable<unknown> => {
    const call = client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadataFor(settings),
      callOptions(0, settings),
    );
    return stream(call as ClientReadableStream<unknown>, method, settings.signal);
  };
}

/** Makes the functions of one service. Streams never time out by themselves. */
export function api<const D extends Methods>(client: Client, definition: D, timeoutMs: number): Api<D> {
  const functions = Object.entries(definition).map(([name, method]) => [
    name,
    method.responseStream ? streaming(client, method) : unary(client, method, timeoutMs),
  ]);
  return Object.fromEntries(functions) as Api<D>;
}
