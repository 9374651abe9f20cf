import { setTimeout as sleepFor } from "node:timers/promises";
import type { StateCollection } from "../../state/index.ts";
import { asError, KvCompactedError } from "../errors.ts";
import type { KvEntry, KvEvent, KvSession, KvSnapshot } from "../store.ts";
import { ReplicaDisk, type StoredEntry, type StoredPosition } from "./replica-disk.ts";

/** A key of the store, as this node knows it. */
export interface ReplicaEntry<R> {
  readonly record: R;
  /** The record as the store has it. */
  readonly text: string;
  /** Revision at which it was written. */
  readonly mod: number;
  readonly lease: string;
}

export interface ReplicaParts<R> {
  /** Below the cluster's prefix; ends with "/". */
  readonly prefix: string;
  readonly entries: StateCollection<StoredEntry>;
  readonly positions: StateCollection<StoredPosition>;
  /** @throws when the text is no record of this kind */
  decode(key: string, text: string): R;
  /**
   * How long after a session's beginning keys that may come back are held on to, in milliseconds: those that an emptied
   * store lacks, and those whose lease may have run out in an outage.
   */
  readonly settleMs: number;
  /** Whether keys end with leases, so that any of them that is gone after an outage may come back. */
  readonly leased: boolean;
  /** Called with the keys that changed, after they have. */
  onChange(keys: Iterable<string>): void;
  /**
   * Called when the store was emptied or set back, with what was known and what is there now, before either counts.
   * Writes to disk that it begins are on disk together with the new state, or not at all.
   */
  onNewLife?(before: ReadonlyMap<string, ReplicaEntry<R>>, now: ReadonlyMap<string, ReplicaEntry<R>>): void;
  /** Called when the write of the last known state fails; it is tried again. */
  onDiskError(error: Error): void;
}

/**
 * What the store holds below a prefix, as far as this node knows: kept on disk, followed by a watch that resumes where
 * it was, listed anew where that is impossible.
 */
export class Replica<R> {
  readonly #parts: ReplicaParts<R>;
  readonly #disk: ReplicaDisk;
  #entries = new Map<string, ReplicaEntry<R>>();
  /** Keys that are gone from the store, held on to while things settle. */
  readonly #leaving = new Set<string>();
  /** Revisions at which this node deleted keys, until the watch has passed them: what it reports of them is older. */
  readonly #deleted = new Map<string, number>();
  readonly #unreadable = new Map<string, Error>();
  #epoch = "";
  #revision = 0;
  #settledAt = Number.POSITIVE_INFINITY;

  constructor(parts: ReplicaParts<R>) {
    this.#parts = parts;
    this.#disk = new ReplicaDisk(parts.entries, parts.positions, parts.prefix, parts.onDiskError);
  }

  get entries(): ReadonlyMap<string, ReplicaEntry<R>> {
    return this.#entries;
  }

  get(key: string): ReplicaEntry<R> | undefined {
    return this.#entries.get(key);
  }

  /** Whether the key is shown only because it may come back. */
  isLeaving(key: string): boolean {
    return this.#leaving.has(key);
  }

  /** Keys whose values make no sense to this node, and why. */
  get unreadable(): ReadonlyMap<string, Error> {
    return this.#unreadable;
  }

  /** Brings back the last known state. */
  load(): void {
    const { position, entries } = this.#disk.load();
    this.#epoch = position?.epoch ?? "";
    this.#revision = position?.revision ?? 0;
    for (const { key, value } of entries) {
      this.#take(key, value.text, value.mod, value.lease);
      if (value.leaving === true) this.#leaving.add(key);
    }
    this.#parts.onChange([...this.#entries.keys()]);
  }

  /**
   * Follows the store until the session ends.
   *
   * @param onCurrent called once the state is that of the session's beginning, or changes since are on their way
   * @returns never; rejects with why it ended
   */
  async follow(session: KvSession, onCurrent: () => void): Promise<never> {
    const { prefix, settleMs } = this.#parts;
    this.#settledAt = performance.now() + settleMs;
    void this.#dropLeavers(session.signal);
    const resumable =
      this.#epoch === session.epoch && this.#revision > 0 && this.#revision <= session.revision;
    if (!resumable) this.#replace(await session.list(prefix), session);
    onCurrent();
    for (;;) {
      try {
        return await session.watch(prefix, this.#revision, (events) => this.#apply(events));
      } catch (error) {
        if (!(error instanceof KvCompactedError)) throw error;
        this.#replace(await session.list(prefix), session);
      }
    }
  }

  /** This node has written the key itself. */
  wrote(key: string, entry: ReplicaEntry<R>): void {
    this.#entries.set(key, entry);
    this.#leaving.delete(key);
    this.#unreadable.delete(key);
    this.#disk.changed(key, stored(entry));
  }

  /** This node has deleted the key itself. */
  removed(key: string, revision: number): void {
    this.#deleted.set(key, revision);
    this.#forget(key);
  }

  /** Resolves when all is on disk. @throws StateWriteError */
  flush(): Promise<void> {
    return this.#disk.flush(this.#position());
  }

  #replace(snapshot: KvSnapshot, session: KvSession): void {
    const before = this.#entries;
    const newLife = this.#epoch !== session.epoch;
    this.#entries = new Map();
    this.#unreadable.clear();
    this.#deleted.clear();
    for (const entry of snapshot.entries) this.#learn(entry);
    if (newLife && this.#epoch !== "") this.#parts.onNewLife?.(before, this.#entries);
    const touched = new Set(this.#entries.keys());
    for (const [key, entry] of before) {
      touched.add(key);
      if (this.#entries.has(key)) continue;
      // Revisions of another life of the store say nothing in this one.
      this.#entries.set(key, newLife ? { ...entry, mod: 0 } : entry);
      this.#vanished(key, newLife);
    }
    this.#epoch = session.epoch;
    this.#revision = snapshot.revision;
    this.#disk.moved(this.#position());
    // In this turn, so that what onNewLife has stored goes with it.
    this.#disk.flushSoon();
    this.#parts.onChange(touched);
  }

  #apply(events: readonly KvEvent[]): void {
    const touched = new Set<string>();
    for (const event of events) {
      const key = (event.kind === "put" ? event.entry.key : event.key).slice(this.#parts.prefix.length);
      const mod = event.kind === "put" ? event.entry.mod : event.mod;
      this.#revision = Math.max(this.#revision, mod);
      if (mod <= Math.max(this.#entries.get(key)?.mod ?? 0, this.#deleted.get(key) ?? 0)) continue;
      touched.add(key);
      if (event.kind === "put") this.#learn(event.entry);
      else this.#vanished(key, false);
    }
    for (const [key, revision] of this.#deleted) {
      if (revision <= this.#revision) this.#deleted.delete(key);
    }
    this.#disk.moved(this.#position());
    if (touched.size > 0) this.#parts.onChange(touched);
  }

  #learn({ key: full, value, mod, lease }: KvEntry): void {
    const key = full.slice(this.#parts.prefix.length);
    this.#take(key, value, mod, lease);
    // What cannot be read is read, and told, again after a restart only if it is a key that can be stored.
    if (isStorable(key)) this.#disk.changed(key, { text: value, mod, lease });
  }

  #take(key: string, text: string, mod: number, lease: string): void {
    this.#leaving.delete(key);
    try {
      checkKey(key);
      this.#entries.set(key, { record: this.#parts.decode(key, text), text, mod, lease });
      this.#unreadable.delete(key);
    } catch (error) {
      this.#entries.delete(key);
      this.#unreadable.set(key, asError(error));
    }
  }

  #vanished(key: string, newLife: boolean): void {
    const entry = this.#entries.get(key);
    const mayReturn = (newLife || this.#parts.leased) && performance.now() < this.#settledAt;
    if (entry === undefined || !mayReturn) {
      this.#forget(key);
      return;
    }
    this.#leaving.add(key);
    this.#disk.changed(key, { ...stored(entry), leaving: true });
  }

  #forget(key: string): void {
    this.#entries.delete(key);
    this.#leaving.delete(key);
    this.#unreadable.delete(key);
    if (isStorable(key)) this.#disk.changed(key, undefined);
  }

  /** Once things have settled, what has not come back is gone. */
  async #dropLeavers(signal: AbortSignal): Promise<void> {
    try {
      await sleepFor(this.#parts.settleMs, undefined, { signal, ref: false });
    } catch {
      return; // The session ended; the next one waits anew.
    }
    this.#settledAt = 0;
    const gone = [...this.#leaving];
    for (const key of gone) this.#forget(key);
    if (gone.length > 0) this.#parts.onChange(gone);
  }

  #position(): StoredPosition {
    return { epoch: this.#epoch, revision: this.#revision };
  }
}

/** Keys of the state store are shorter than 1 KiB, the collection's name included, without control characters. */
const isStorable = (key: string): boolean => Buffer.byteLength(key) <= 512 && !/\p{Cc}/u.test(key);

function checkKey(key: string): void {
  if (!isStorable(key)) throw new Error("the key has more than 512 bytes, or control characters");
}

const stored = ({ text, mod, lease }: ReplicaEntry<unknown>): StoredEntry => ({ text, mod, lease });
