import type { Logger } from "../../hive/index.ts";
import type { StreamSlots } from "./slots.ts";

/** What every handler knows of its call. */
export interface CallContext {
  /** Full path: "/waggle.v1.EndpointService/GetEndpoint". */
  readonly method: string;
  /** Address of the caller, "unknown" for Unix sockets. */
  readonly peer: string;
  /**
   * Aborts when the caller cancels, its deadline passes or its connection breaks; for streams also when the
   * server drains. Its reason is the error to fail with.
   */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** Something around every call, such as logging. It calls `next` once, and may throw instead. */
export type Interceptor = (context: CallContext, next: () => Promise<void>) => Promise<void>;

/** Bounds of what callers can make the server hold. Times in milliseconds. */
export interface ApiLimits {
  /** Open watch and monitor streams. */
  readonly maxWatchers: number;
  /** Table revisions that a blocked watch may fall behind. */
  readonly watchLag: number;
  /** Events kept for a monitor reader that is behind, and reports for a health watch. */
  readonly monitorBuffer: number;
  /** How long a reader with something to read may read nothing. */
  readonly readerTimeout: number;
}

/** Defaults of {@link ApiLimits}. */
export const defaultLimits: ApiLimits = {
  maxWatchers: 128,
  watchLag: 65_536,
  monitorBuffer: 4096,
  readerTimeout: 30_000,
};

/** What the services of one server share. */
export interface ApiRuntime {
  readonly log: Logger;
  readonly limits: ApiLimits;
  readonly streams: StreamSlots;
  /** Aborts when the server begins to stop: streams end then. */
  readonly draining: AbortSignal;
  /** Outermost first. */
  readonly interceptors: readonly Interceptor[];
}

/** Runs `work` inside the interceptors, the first one outermost. */
export function intercept(
  interceptors: readonly Interceptor[],
  context: CallContext,
  work: () => Promise<void>,
): Promise<void> {
  const run = interceptors.reduceRight<() => Promise<void>>(
    (next, interceptor) => () => interceptor(context, next),
    work,
  );
  return run();
}
