/** Reading PERF_EVENT_ARRAY and RINGBUF maps on the main thread. */
import { DatapathError } from "../errors.ts";
import type { Closeable, RawMap } from "../types.ts";
import { adaptivePoll } from "./adaptive-poll.ts";
import { OwnedFd } from "./fd.ts";
import {
  type CallbackPointer,
  perf_buffer__consume,
  perf_buffer__free,
  perf_buffer__new,
  perfLostCallback,
  perfSampleCallback,
  ring_buffer__consume,
  ring_buffer__free,
  ring_buffer__new,
  ringSampleCallback,
  unregisterCallback,
} from "./ffi/buffers.ts";
import { errno } from "./ffi/libraries.ts";
import { copyFrom } from "./ffi/memory.ts";
import { asKernelMap, type KernelMap } from "./map.ts";
import { withMessages } from "./messages.ts";

/** Pages of each CPU's perf buffer; a power of two. 256 KiB hold about 2,000 notifications. */
const PERF_PAGES = 64;

/** Hears of errors thrown by event consumers: they cannot travel through C. */
export type ReaderErrorHandler = (error: unknown) => void;

/**
 * Reads the map's events. The map has one place a CPU: the last reader of a map gets the events.
 * @throws DatapathError
 */
export function readPerfEvents(
  array: RawMap,
  onEvent: (data: Buffer, cpu: number) => void,
  onLost: (count: number) => void,
  onError: ReaderErrorHandler,
): Closeable {
  const map = asKernelMap(array);
  const sample = perfSampleCallback((_context, cpu, data, size) => {
    guarded(onError, () => onEvent(copyFrom(data, size), cpu));
  });
  const lost = perfLostCallback((_context, _cpu, count) => {
    guarded(onError, () => onLost(Number(count)));
  });
  return new BufferReader({
    operation: "read perf events of",
    map,
    callbacks: [sample, lost],
    create: (fd) => perf_buffer__new(fd, PERF_PAGES, sample, lost, null, null),
    consume: perf_buffer__consume,
    free: perf_buffer__free,
    onError,
  });
}

/** @throws DatapathError */
export function readRingbuf(
  ringbuf: RawMap,
  onRecord: (data: Buffer) => void,
  onError: ReaderErrorHandler,
): Closeable {
  const map = asKernelMap(ringbuf);
  const sample = ringSampleCallback((_context, data, size) => {
    guarded(onError, () => onRecord(copyFrom(data, size)));
    return 0;
  });
  return new BufferReader({
    operation: "read ring buffer",
    map,
    callbacks: [sample],
    create: (fd) => ring_buffer__new(fd, sample, null, null),
    consume: ring_buffer__consume,
    free: ring_buffer__free,
    onError,
  });
}

interface BufferKind<P> {
  readonly operation: string;
  readonly map: KernelMap;
  readonly callbacks: readonly CallbackPointer[];
  readonly create: (mapFd: number) => P | null;
  /** Records read, or a negative errno. */
  readonly consume: (buffer: P) => number;
  readonly free: (buffer: P) => void;
  readonly onError: ReaderErrorHandler;
}

/** Owns one libbpf buffer, its callbacks and the timer that empties it. */
class BufferReader<P> implements Closeable {
  readonly #kind: BufferKind<P>;
  readonly #poll: Closeable;
  /** libbpf uses the number until the buffer is freed, the caller may close the map before. */
  readonly #fd: OwnedFd;
  #buffer: P | undefined;
  #consuming = false;
  #closed = false;

  constructor(kind: BufferKind<P>) {
    this.#kind = kind;
    this.#fd = OwnedFd.duplicate(kind.map.fd, kind.map.label);
    this.#buffer = this.#create();
    this.#poll = adaptivePoll(() => this.#consume());
  }

  /** May be called by a consumer in the middle of an event: the buffer is then freed after the batch. */
  close(): void {
    this.#closed = true;
    this.#poll.close();
    if (!this.#consuming) this.#free();
  }

  #consume(): number {
    if (this.#buffer === undefined) return 0;
    this.#consuming = true;
    const found = this.#kind.consume(this.#buffer);
    this.#consuming = false;
    if (this.#closed) this.#free();
    if (found >= 0) return found;
    const { operation, map } = this.#kind;
    this.#kind.onError(new DatapathError({ operation, object: map.label, errno: -found }));
    return 0;
  }

  #create(): P {
    const { operation, map, create, callbacks } = this.#kind;
    const { result, messages } = withMessages(() => ({ buffer: create(this.#fd.number), errno: errno() }));
    if (result.buffer !== null) return result.buffer;
    callbacks.forEach(unregisterCallback);
    this.#fd.close();
    throw new DatapathError({
      operation,
      object: map.label,
      errno: result.errno,
      detail: messages.join("; "),
    });
  }

  #free(): void {
    if (this.#buffer === undefined) return;
    this.#kind.free(this.#buffer);
    this.#buffer = undefined;
    this.#kind.callbacks.forEach(unregisterCallback);
    this.#fd.close();
  }
}

/** An exception must not unwind into C: the reader goes on with the next event. */
function guarded(onError: ReaderErrorHandler, action: () => void): void {
  try {
    action();
  } catch (error) {
    onError(error);
  }
}
