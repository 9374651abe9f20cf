import { isDeepStrictEqual } from "node:util";
import type { HealthScope } from "../../../hive/index.ts";
import { Database, type RWTable } from "../../../table/index.ts";
import type { StateStore } from "../../state/index.ts";
import { asError, KvStoreError } from "../errors.ts";
import type { KvSession, KvStore } from "../store.ts";
import type { SharedCollection, SharedOptions, SharedRow } from "../types.ts";
import type { Follower } from "./following.ts";
import { Holdings } from "./holdings.ts";
import type { LocalSide, RemoteEntry } from "./local-side.ts";
import { Outbox } from "./outbox.ts";
import { Pusher } from "./pusher.ts";
import { ChangeClock, decodeRecord, type SharedRecord } from "./record.ts";
import { Replica } from "./replica.ts";
import type { StoredEntry, StoredPosition } from "./replica-disk.ts";

/** Where positions of all replicas are kept, by prefix. */
export const positionsName = "shared-positions";

export interface CollectionParts {
  readonly node: string;
  readonly state: StateStore;
  /** Undefined: the state directory is the store. */
  readonly store: KvStore | undefined;
  /** How long vanished rows of others are held on to after an outage, in milliseconds. */
  readonly settleMs: number;
  readonly health: HealthScope;
}

/** Rows in the store, with this node's own changes over them. */
export class StoredCollection<T> implements SharedCollection<T>, Follower {
  readonly name: string;
  readonly table: RWTable<SharedRow<T>, string>;
  readonly #store: KvStore | undefined;
  readonly #health: HealthScope;
  readonly #local: LocalSide<T>;
  readonly #replica: Replica<SharedRecord<T>>;
  readonly #pusher: Pusher<T>;
  readonly #initialized: () => void;
  #diskError: Error | undefined;
  #followError: Error | undefined;
  #loaded = false;

  constructor({ name, leased = false, decode }: SharedOptions<T>, parts: CollectionParts) {
    this.name = name;
    this.#store = parts.store;
    this.#health = parts.health;
    this.table = new Database().createTable<SharedRow<T>, string>({ name, key: ({ key }) => key });
    this.#initialized = this.table.registerInitializer("disk");
    const { node, state, store } = parts;
    const common = { node, hasStore: store !== undefined, clock: new ChangeClock() };
    const onDiskError = (error: unknown): void => this.#diskFailed(asError(error));
    const outbox = new Outbox<T>({ ...common, disk: state.collection(`own-${name}`), onDiskError });
    this.#local = leased
      ? new Holdings<T>({
          ...common,
          disk: state.collection(`own-${name}`),
          isOwnLease: (lease) => store?.isOwnLease(lease) === true,
        })
      : outbox;
    const prefix = `${name}/`;
    const decodeText = (key: string, text: string): SharedRecord<T> => decodeRecord(key, text, decode);
    this.#replica = new Replica<SharedRecord<T>>({
      prefix,
      entries: state.collection<StoredEntry>(`known-${name}`),
      positions: state.collection<StoredPosition>(positionsName),
      decode: decodeText,
      settleMs: leased ? parts.settleMs : 0,
      leased,
      onChange: (keys) => this.#refresh([...keys]),
      ...(leased ? {} : { onNewLife: (before, now) => outbox.refill(before, now) }),
      onDiskError,
    });
    this.#pusher = new Pusher<T>({
      prefix,
      remote: (key) => this.#remote(key),
      step: (key, remote, lease) => this.#local.step(key, remote, lease),
      read: ({ key, value: text, mod, lease }) => ({
        record: decodeText(key.slice(prefix.length), text),
        text,
        mod,
        lease,
      }),
      onPushed: (pushed, revision) => this.#pushed(pushed, revision),
      onProblems: () => this.#report(),
    });
  }

  /** Brings back rows from disk. @throws StateCorruptError */
  load(): void {
    this.#local.load();
    this.#replica.load();
    this.#refresh(this.#local.keys());
    this.#loaded = true;
    this.#initialized();
    this.#report();
  }

  /**
   * Follows and feeds the store until the session ends.
   *
   * @param onCurrent called once what the store had when the session began is in the table
   * @returns never; rejects with why it ended
   */
  async follow(session: KvSession, onCurrent: () => void): Promise<never> {
    try {
      return await new Promise<never>((_, reject) => {
        const following = this.#replica.follow(session, () => {
          this.#followError = undefined;
          // Nothing may have changed meanwhile: then nobody else says that all is well again.
          this.#report();
          // Everything: also what a new lease has to be put under, and what is this node's but not wanted any more.
          this.#pusher.touch([...this.#local.keys(), ...this.#replica.entries.keys()]);
          this.#pusher.run(session).catch(reject);
          onCurrent();
        });
        following.catch(reject);
      });
    } catch (error) {
      if (!session.signal.aborted) this.#followError = asError(error);
      this.#report();
      throw error;
    }
  }

  /** Resolves when all that is known is on disk. @throws StateWriteError */
  async stop(): Promise<void> {
    if (this.#loaded) await this.#replica.flush();
  }

  async put(key: string, value: T): Promise<void> {
    this.#requireLoaded("put", key);
    await this.#local.put(key, value);
    this.#refresh([key]);
  }

  async delete(key: string): Promise<void> {
    this.#requireLoaded("delete", key);
    await this.#local.delete(key, this.#remote(key));
    this.#refresh([key]);
  }

  /** What the store has; nothing when it is shown only because it may come back. */
  #remote(key: string): RemoteEntry<T> | undefined {
    return this.#replica.isLeaving(key) ? undefined : this.#replica.get(key);
  }

  #pushed(pushed: ReadonlyMap<string, RemoteEntry<T> | undefined>, revision: number): void {
    for (const [key, entry] of pushed) {
      if (entry === undefined) this.#replica.removed(key, revision);
      else this.#replica.wrote(key, entry);
    }
    this.#refresh(pushed.keys());
  }

  /** Shows keys as both sides have them now. */
  #refresh(keys: Iterable<string>): void {
    const changed: SharedRow<T>[] = [];
    const gone: string[] = [];
    const touched: string[] = [];
    for (const key of keys) {
      touched.push(key);
      this.#local.observed(key, this.#remote(key));
      const row = this.#local.row(key, this.#replica.get(key));
      const shown = this.table.get(key);
      if (row === undefined) {
        if (shown !== undefined) gone.push(key);
      } else if (shown === undefined || !isDeepStrictEqual(row, shown)) changed.push(row);
    }
    if (changed.length + gone.length > 0) {
      this.table.transaction(() => {
        this.table.deleteMany(gone);
        this.table.upsertMany(changed);
      });
    }
    if (this.#store !== undefined) this.#pusher.touch(touched);
    this.#report();
  }

  #requireLoaded(operation: string, key: string): void {
    if (!this.#loaded)
      throw new KvStoreError(operation, `${this.name}/${key}`, "the kvstore cell has not started");
  }

  #diskFailed(error: Error): void {
    this.#diskError = error;
    this.#report();
  }

  #report(): void {
    const { held, refused } = this.#pusher;
    const { unreadable } = this.#replica;
    const problems = [
      ...Array.from(held, ([key, by]) => `${key} belongs to node ${by}`),
      ...Array.from(refused, ([key, { message }]) => `${key} cannot be written: ${message}`),
      ...Array.from(unreadable, ([key, { message }]) => `${key} cannot be read: ${message}`),
      ...[this.#followError, this.#diskError].flatMap((error) =>
        error === undefined ? [] : [error.message],
      ),
    ];
    const more = problems.length > 3 ? ` and ${problems.length - 3} more` : "";
    if (problems.length === 0) this.#health.ok(`${this.table.size} rows`);
    else this.#health.degraded(`${problems.slice(0, 3).join("; ")}${more}`);
  }
}
