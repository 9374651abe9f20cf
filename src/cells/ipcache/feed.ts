import { setImmediate as nextTurn } from "node:timers/promises";
import type { IpCache, IpCacheEntry, IpCacheFeed, IpCacheFeedBatch, IpCacheSource } from "./types.ts";

/** Up to so many changes are made at once: what is awaited next finds them in the table. */
const few = 512;
/** Changes between two looks at the clock. */
const stride = 256;
/** How long the event loop is held at a time, in milliseconds: the kernel is idle until it is given the next batch. */
const turnMs = 0.5;

/** What a source says on its way into the IP cache: in order, and never so much at a time that others have to wait. */
export class PacedFeed implements IpCacheFeed {
  readonly #cache: IpCache;
  readonly #source: IpCacheSource;
  readonly #onError: (error: Error) => void;
  #queue: IpCacheFeedBatch[] = [];
  #draining: Promise<void> | undefined;

  constructor(cache: IpCache, source: IpCacheSource, onError: (error: Error) => void) {
    this.#cache = cache;
    this.#source = source;
    this.#onError = onError;
  }

  push(batch: IpCacheFeedBatch): void {
    if (this.#draining === undefined && batch.upserts.length + batch.removals.length <= few) {
      this.#attempt(() => this.#cache.removeMany(batch.removals, this.#source));
      this.#attempt(() => this.#cache.upsertMany(batch.upserts));
      return;
    }
    this.#queue.push(batch);
    this.#draining ??= this.#drain();
  }

  async settled(): Promise<void> {
    await this.#draining;
  }

  close(): void {
    this.#queue = [];
  }

  async #drain(): Promise<void> {
    let started = performance.now();
    for (let batch = this.#queue.shift(); batch !== undefined; batch = this.#queue.shift()) {
      const queue = this.#queue;
      for (const work of this.#pieces(batch)) {
        this.#attempt(work);
        if (performance.now() - started < turnMs) continue;
        await nextTurn();
        // It was closed meanwhile.
        if (this.#queue !== queue) break;
        started = performance.now();
      }
    }
    this.#draining = undefined;
  }

  *#pieces({ removals, upserts }: IpCacheFeedBatch): IterableIterator<() => void> {
    for (let at = 0; at < removals.length; at += stride)
      yield () => this.#cache.removeMany(removals.slice(at, at + stride), this.#source);
    for (let at = 0; at < upserts.length; at += stride)
      yield () => this.#cache.upsertMany(upserts.slice(at, at + stride));
  }

  /** What is refused in one piece must not keep the others out. */
  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#onError(error instanceof Error ? error : new Error(String(error)));
    }
  }
}

/** The fields of an entry that make it another one. */
export const isSameEntry = (a: IpCacheEntry, b: IpCacheEntry): boolean =>
  a.prefix === b.prefix &&
  a.identity === b.identity &&
  a.tunnelEndpoint === b.tunnelEndpoint &&
  a.encryptKey === b.encryptKey &&
  a.source === b.source;
