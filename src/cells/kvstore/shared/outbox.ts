import type { StateCollection } from "../../state/index.ts";
import type { SharedRow } from "../types.ts";
import type { LocalSide, RemoteEntry, Step } from "./local-side.ts";
import { type ChangeClock, isNewer, isSame, type SharedRecord } from "./record.ts";

export interface OutboxParts<T> {
  readonly node: string;
  /** Without a store what is in the outbox is all there is, and nothing is pending. */
  readonly hasStore: boolean;
  readonly clock: ChangeClock;
  readonly disk: StateCollection<SharedRecord<T>>;
  onDiskError(error: unknown): void;
}

/**
 * Changes to rows that belong to nobody: on disk until the store has them, or something newer. A deletion is a
 * tombstone, here and in the store, so that no copy of what was deleted can come back as if it were new.
 */
export class Outbox<T> implements LocalSide<T> {
  readonly #parts: OutboxParts<T>;
  readonly #changes = new Map<string, SharedRecord<T>>();

  constructor(parts: OutboxParts<T>) {
    this.#parts = parts;
  }

  load(): void {
    for (const { key, value } of this.#parts.disk.all()) {
      this.#changes.set(key, value);
      this.#parts.clock.saw(value.time);
    }
  }

  keys(): Iterable<string> {
    return this.#changes.keys();
  }

  async put(key: string, value: T): Promise<void> {
    const { node, clock, disk } = this.#parts;
    const record = { value, node, time: clock.next() };
    await disk.put(key, record);
    this.#changes.set(key, record);
  }

  async delete(key: string, remote: RemoteEntry<T> | undefined): Promise<void> {
    const { node, clock, disk, hasStore } = this.#parts;
    if (!hasStore && remote === undefined) {
      await disk.delete(key);
      this.#changes.delete(key);
      return;
    }
    const record = { deleted: true, node, time: clock.next() } as const;
    await disk.put(key, record);
    this.#changes.set(key, record);
  }

  row(key: string, remote: RemoteEntry<T> | undefined): SharedRow<T> | undefined {
    const change = this.#changes.get(key);
    const record = change ?? remote?.record;
    if (record === undefined || "deleted" in record) return undefined;
    const pending = change !== undefined && this.#parts.hasStore;
    return { key, value: record.value, node: record.node, own: record.node === this.#parts.node, pending };
  }

  step(key: string, remote: RemoteEntry<T> | undefined): Step<T> {
    const record = this.#changes.get(key);
    if (record === undefined) return { kind: "nothing" };
    // What is as new or newer reaches us by the watch, and then the change goes.
    if (remote !== undefined && !isNewer(record, remote.record)) return { kind: "nothing" };
    return { kind: "put", record, lifetime: "deleted" in record ? "tombstone" : "lasting" };
  }

  observed(key: string, remote: RemoteEntry<T> | undefined): void {
    if (remote === undefined) return;
    this.#parts.clock.saw(remote.record.time);
    const change = this.#changes.get(key);
    if (change === undefined) return;
    if (!isSame(remote.record, change) && !isNewer(remote.record, change)) return;
    this.#changes.delete(key);
    // If that fails the next start finds the change, observes the same again, and tries again.
    this.#parts.disk.delete(key).catch((error: unknown) => this.#parts.onDiskError(error));
  }

  /** The store has lost what it had: what this node knows of it is to be pushed again, as whose and as old as it was. */
  refill(before: ReadonlyMap<string, RemoteEntry<T>>, now: ReadonlyMap<string, RemoteEntry<T>>): void {
    for (const [key, { record }] of before) {
      const rivals = [now.get(key)?.record, this.#changes.get(key)];
      if (rivals.some((rival) => rival !== undefined && !isNewer(record, rival))) continue;
      this.#changes.set(key, record);
      this.#parts.disk.put(key, record).catch((error: unknown) => this.#parts.onDiskError(error));
    }
  }
}
