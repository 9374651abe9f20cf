// What it takes to write a gRPC service: handlers, errors, paging and streams.

export {
  type ApiLimits,
  type ApiRuntime,
  type CallContext,
  defaultLimits,
  type Interceptor,
} from "./context.ts";
export { CallError, STATUS_DETAILS } from "./errors.ts";
export { type Handlers, implement, type StreamHandler, type UnaryHandler } from "./implement.ts";
export { logCalls } from "./interceptors.ts";
export { type Page, type PageCursor, type PageKey, readPage, takePage } from "./pagination.ts";
export { type RelayOptions, relay } from "./relay.ts";
export { StreamSlots } from "./slots.ts";
export { type WatchMessage, watchTable } from "./watch.ts";
export { StreamWriter } from "./writer.ts";
