import type { Observable } from "rxjs";
import type { CallContext } from "./context.ts";
import { readerTooSlow, type StreamWriter } from "./writer.ts";

/** How to hand a stream of events to a reader that may be slower than it. */
export interface RelayOptions<Value, Response> {
  /** Values kept while the reader is behind. */
  readonly capacity: number;
  /** For values of any size: bytes kept while the reader is behind. A single value is kept however big. */
  readonly bytes?: { readonly limit: number; of(value: Value): number };
  /** How long a reader may read nothing while values are kept, in milliseconds. */
  readonly readerTimeout: number;
  toResponse(value: Value): Response;
  /**
   * Tells the reader how many values were dropped because the buffer was full. Undefined: nothing may be lost,
   * and a full buffer cuts the reader off.
   */
  readonly lost?: (count: number) => Response;
}

/**
 * Hands an observable's values to a stream's reader. While the reader is behind, values are kept up to
 * `capacity` and `bytes`; beyond that the newest are dropped, and the reader learns how many before it gets newer ones.
 * Resolves when the observable completes and all is sent.
 *
 * @throws RefusalError RESOURCE_EXHAUSTED for a slow reader; the observable's error; the signal's reason
 */
export async function relay<Value, Response>(
  source: Observable<Value>,
  context: CallContext,
  out: StreamWriter<Response>,
  options: RelayOptions<Value, Response>,
): Promise<void> {
  context.signal.throwIfAborted();
  const buffer = new RelayBuffer<Value>(options);
  const subscription = source.subscribe({
    next: (value) => buffer.push(value),
    error: (error: unknown) => buffer.end(error),
    complete: () => buffer.end(),
  });
  const onAbort = () => buffer.wake();
  context.signal.addEventListener("abort", onAbort);

  const blocked = (forMs: number): void => {
    if (options.lost === undefined && buffer.lossy) throw readerTooSlow();
    if (forMs > options.readerTimeout && buffer.size > 0) throw readerTooSlow();
  };

  try {
    for (;;) {
      const item = buffer.shift();
      if (item === undefined) {
        if (buffer.ended !== undefined) {
          if (buffer.ended.failed) throw buffer.ended.error;
          return;
        }
        await buffer.wait();
        context.signal.throwIfAborted();
      } else if (item.kind === "value") {
        await out.write(options.toResponse(item.value), blocked);
      } else if (options.lost === undefined) {
        throw readerTooSlow();
      } else {
        await out.write(options.lost(item.count), blocked);
      }
    }
  } finally {
    context.signal.removeEventListener("abort", onAbort);
    subscription.unsubscribe();
  }
}

type Kept<Value> =
  | { readonly kind: "value"; readonly value: Value; readonly bytes: number }
  /** Values were dropped here. */
  | { readonly kind: "gap"; count: number };

/** Values on their way to a reader. A gap stands where the values that did not fit would have been. */
class RelayBuffer<Value> {
  readonly #capacity: number;
  readonly #maxBytes: number;
  readonly #bytesOf: (value: Value) => number;
  readonly #kept: Kept<Value>[] = [];
  #bytes = 0;
  #wakeUp = Promise.withResolvers<void>();
  /** Set once the source has ended. */
  ended: { readonly failed: boolean; readonly error: unknown } | undefined;
  /** Whether values were ever dropped. */
  lossy = false;

  constructor({ capacity, bytes }: Pick<RelayOptions<Value, never>, "capacity" | "bytes">) {
    this.#capacity = capacity;
    this.#maxBytes = bytes?.limit ?? Number.POSITIVE_INFINITY;
    this.#bytesOf = bytes === undefined ? () => 0 : (value) => bytes.of(value);
  }

  get size(): number {
    return this.#kept.length;
  }

  push(value: Value): void {
    const last = this.#kept.at(-1);
    const bytes = this.#bytesOf(value);
    if (this.#kept.length < this.#capacity && (this.#bytes === 0 || this.#bytes + bytes <= this.#maxBytes)) {
      this.#kept.push({ kind: "value", value, bytes });
      this.#bytes += bytes;
    } else {
      this.lossy = true;
      if (last?.kind === "gap") last.count++;
      else this.#kept.push({ kind: "gap", count: 1 });
    }
    this.wake();
  }

  shift(): Kept<Value> | undefined {
    const kept = this.#kept.shift();
    if (kept?.kind === "value") this.#bytes -= kept.bytes;
    return kept;
  }

  end(...failure: readonly [error?: unknown]): void {
    this.ended = { failed: failure.length > 0, error: failure[0] };
    this.wake();
  }

  wake(): void {
    this.#wakeUp.resolve();
  }

  /** Resolves when something has happened since the last wait. */
  async wait(): Promise<void> {
    await this.#wakeUp.promise;
    this.#wakeUp = Promise.withResolvers<void>();
  }
}
