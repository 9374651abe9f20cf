import type { StateCollection } from "../../state/index.ts";
import { asError } from "../errors.ts";

/** What is stored of a key: the store's text, the revision it was written at, and its lease. */
export interface StoredEntry {
  readonly text: string;
  readonly mod: number;
  readonly lease: string;
  /** It is gone from the store, and held on to until it is clear that it does not come back. */
  readonly leaving?: boolean;
}

/** Up to where the stored entries are current. */
export interface StoredPosition {
  readonly epoch: string;
  readonly revision: number;
}

/** What others have written can be read from the store again: it is written down in passing, not change by change. */
const flushDelayMs = 1_000;

/** The last known state of a replica, on disk. */
export class ReplicaDisk {
  readonly #entries: StateCollection<StoredEntry>;
  readonly #positions: StateCollection<StoredPosition>;
  readonly #name: string;
  readonly #onError: (error: Error) => void;
  /** At most one for each key; undefined for a deletion. */
  #dirty = new Map<string, StoredEntry | undefined>();
  #position: StoredPosition | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    entries: StateCollection<StoredEntry>,
    positions: StateCollection<StoredPosition>,
    prefix: string,
    onError: (error: Error) => void,
  ) {
    this.#entries = entries;
    this.#positions = positions;
    this.#name = prefix;
    this.#onError = onError;
  }

  load(): { position: StoredPosition | undefined; entries: ReturnType<StateCollection<StoredEntry>["all"]> } {
    return { position: this.#positions.get(this.#name), entries: this.#entries.all() };
  }

  changed(key: string, entry: StoredEntry | undefined): void {
    this.#dirty.set(key, entry);
    this.#schedule();
  }

  moved(position: StoredPosition): void {
    this.#position = position;
    this.#schedule();
  }

  /** As `flush`, with errors reported where those of later flushes are. */
  flushSoon(): void {
    this.flush(this.#position).catch((error: unknown) => this.#onError(asError(error)));
  }

  /** Entries and position go to disk together. @throws StateWriteError; what failed is dirty again */
  async flush(position: StoredPosition | undefined): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const dirty = this.#dirty;
    this.#dirty = new Map();
    // Begun in one turn, these share a transaction.
    const writes: Promise<void>[] = Array.from(dirty, ([key, entry]) =>
      entry === undefined ? this.#entries.delete(key) : this.#entries.put(key, entry),
    );
    if (position !== undefined) writes.push(this.#positions.put(this.#name, position));
    try {
      await Promise.all(writes);
    } catch (error) {
      this.#dirty = new Map([...dirty, ...this.#dirty]);
      this.#schedule();
      throw error;
    }
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => this.flushSoon(), flushDelayMs).unref();
  }
}
