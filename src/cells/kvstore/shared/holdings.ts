import type { StateCollection } from "../../state/index.ts";
import type { SharedRow } from "../types.ts";
import type { LocalSide, RemoteEntry, Step } from "./local-side.ts";
import type { ChangeClock, SharedRecord } from "./record.ts";

/** A row of this node's own. */
type OwnRecord<T> = Extract<SharedRecord<T>, { value: T }>;

export interface HoldingsParts<T> {
  readonly node: string;
  readonly hasStore: boolean;
  readonly clock: ChangeClock;
  readonly disk: StateCollection<OwnRecord<T>>;
  /** Whether keys under this lease are this node's, from this run of the agent or an earlier one. */
  isOwnLease(lease: string): boolean;
}

/**
 * Rows that belong to this node. They stay on disk, so that they are back in the store as soon as it can be reached
 * after a restart, or has lost them; and what is this node's in the store but not wanted any more is taken away.
 */
export class Holdings<T> implements LocalSide<T> {
  readonly #parts: HoldingsParts<T>;
  readonly #own = new Map<string, OwnRecord<T>>();
  /** Keys that the store has as this node wants them. */
  readonly #confirmed = new Set<string>();

  constructor(parts: HoldingsParts<T>) {
    this.#parts = parts;
  }

  load(): void {
    for (const { key, value } of this.#parts.disk.all()) this.#own.set(key, value);
  }

  keys(): Iterable<string> {
    return this.#own.keys();
  }

  async put(key: string, value: T): Promise<void> {
    const { node, clock, disk } = this.#parts;
    const record = { value, node, time: clock.next() };
    await disk.put(key, record);
    this.#own.set(key, record);
    this.#confirmed.delete(key);
  }

  async delete(key: string): Promise<void> {
    await this.#parts.disk.delete(key);
    this.#own.delete(key);
    this.#confirmed.delete(key);
  }

  row(key: string, remote: RemoteEntry<T> | undefined): SharedRow<T> | undefined {
    const own = this.#own.get(key);
    const foreign = remote !== undefined && !this.#isOwn(remote);
    if (foreign && "value" in remote.record) {
      const { value, node } = remote.record;
      return { key, value, node, own: false, pending: false };
    }
    if (own === undefined) return undefined;
    const pending = this.#parts.hasStore && !this.#confirmed.has(key);
    return { key, value: own.value, node: own.node, own: true, pending };
  }

  step(key: string, remote: RemoteEntry<T> | undefined, lease: string): Step<T> {
    const own = this.#own.get(key);
    if (remote !== undefined && !this.#isOwn(remote)) {
      return own === undefined ? { kind: "nothing" } : { kind: "held", by: remote.record.node };
    }
    if (own === undefined) {
      if (remote === undefined) return { kind: "nothing" };
      if ("deleted" in remote.record) return { kind: "delete" };
      // First a tombstone: others cannot tell a deletion from the end of a lease, with which they take their time.
      const record = { deleted: true, node: this.#parts.node, time: this.#parts.clock.next() } as const;
      return { kind: "put", record, lifetime: "leased" };
    }
    if (remote !== undefined && remote.lease === lease && remote.record.time === own.time) {
      return { kind: "nothing" };
    }
    return { kind: "put", record: own, lifetime: "leased" };
  }

  observed(key: string, remote: RemoteEntry<T> | undefined): void {
    const own = this.#own.get(key);
    if (own !== undefined && remote !== undefined && this.#isOwn(remote) && remote.record.time === own.time) {
      this.#confirmed.add(key);
    } else {
      this.#confirmed.delete(key);
    }
  }

  #isOwn(remote: RemoteEntry<T>): boolean {
    return this.#parts.isOwnLease(remote.lease);
  }
}
