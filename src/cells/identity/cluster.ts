import { type Observable, Subject } from "rxjs";
import type { Logger } from "../../hive/index.ts";
import type { RWTable } from "../../table/index.ts";
import { failedPrecondition, invalidArgument, notFound } from "../errors.ts";
import { type Follower, type KvSession, KvStoreError, type Replica } from "../kvstore/index.ts";
import { canonicalLabels, labelViolations } from "./labels.ts";
import { IdentityLedger, type NumberRecord } from "./ledger.ts";
import { isProvisional, provisionalNumber } from "./range.ts";
import { reservedByLabels, reservedRows } from "./reserved.ts";
import { selectIdentities } from "./select.ts";
import { Turns } from "./turns.ts";
import type { Identity, IdentityAllocator, Labels, Renumbering } from "./types.ts";

/** A number that this node uses. */
interface Held {
  readonly id: number;
  readonly labels: Labels;
  readonly canonical: string;
  references: number;
  /** The session in which the store has confirmed it. */
  confirmed: KvSession | undefined;
}

export interface ClusterIdentitiesParts {
  readonly node: string;
  readonly table: RWTable<Identity, number>;
  /** Makes the replica of the numbers, which tells what changed in it. */
  replica(onChange: (keys: Iterable<string>) => void): Replica<NumberRecord>;
  readonly log: Logger;
  /** Called when there is something for `settle` to do. */
  onUnsettled(): void;
}

/**
 * Numbers for label sets, the same on all nodes of the cluster. The table has those of the store, which other nodes'
 * pods may have, and those that this node holds.
 */
export class ClusterIdentities implements IdentityAllocator, Follower {
  readonly name = "identities";
  readonly table: RWTable<Identity, number>;
  readonly #parts: ClusterIdentitiesParts;
  readonly #numbers: Replica<NumberRecord>;
  readonly #ledger: IdentityLedger;
  readonly #turns = new Turns();
  readonly #renumbered = new Subject<Renumbering>();
  readonly #held = new Map<number, Held>();
  /** The number that labels get now, by their canonical text. */
  readonly #current = new Map<string, number>();
  /** Since when nobody has been seen to hold a number, in this session. */
  readonly #unheld = new Map<number, number>();
  #session: KvSession | undefined;

  constructor(parts: ClusterIdentitiesParts) {
    this.#parts = parts;
    this.table = parts.table;
    this.table.upsertMany(reservedRows());
    this.#numbers = parts.replica((keys) => this.#refresh(Array.from(keys, Number)));
    this.#ledger = new IdentityLedger(parts.node, this.#numbers);
  }

  get renumbered(): Observable<Renumbering> {
    return this.#renumbered.asObservable();
  }

  /** How many of the numbers in use here are provisional. */
  get provisional(): number {
    return [...this.#held.keys()].filter(isProvisional).length;
  }

  load(): void {
    this.#numbers.load();
  }

  async follow(session: KvSession, onCurrent: () => void): Promise<never> {
    try {
      return await this.#numbers.follow(session, () => {
        this.#session = session;
        this.#unheld.clear();
        this.#parts.onUnsettled();
        onCurrent();
      });
    } finally {
      this.#session = undefined;
    }
  }

  stop(): Promise<void> {
    return this.#numbers.flush();
  }

  /** @throws RefusalError INVALID_ARGUMENT for malformed labels, RESOURCE_EXHAUSTED without free numbers */
  async acquire(labels: Labels): Promise<Identity> {
    const reserved = reservedByLabels(labels);
    if (reserved !== undefined) return this.#row(reserved);
    const violations = labelViolations(labels, "labels");
    if (violations.length > 0) throw invalidArgument(violations);
    const canonical = canonicalLabels(labels);
    return this.#turns.run(canonical, async () => {
      const current = this.#current.get(canonical);
      const held =
        (current === undefined ? undefined : this.#held.get(current)) ??
        (await this.#take(labels, canonical));
      held.references += 1;
      this.#refresh([held.id]);
      return this.#row(held.id);
    });
  }

  /** @throws RefusalError NOT_FOUND, or FAILED_PRECONDITION when this node does not hold it */
  async release(id: number): Promise<void> {
    const row = this.table.get(id);
    if (row === undefined) throw notFound("identity", id);
    if (row.reserved !== undefined) return;
    const held = this.#held.get(id);
    if (held === undefined || held.references === 0)
      throw failedPrecondition(`identity ${id} is released more often than acquired`);
    held.references -= 1;
    if (held.references === 0) this.#drop(held);
    this.#refresh([id]);
  }

  byLabels(labels: Labels): Identity | undefined {
    const canonical = canonicalLabels(labels);
    const current = this.#current.get(canonical);
    return current === undefined ? this.table.byIndex("labels", canonical)[0] : this.table.get(current);
  }

  select(selector: Labels): readonly Identity[] {
    return selectIdentities(this.table, selector);
  }

  /** Has the store confirm numbers that it has not in this session. @throws KvStoreError, RefusalError of the first */
  async settle(): Promise<void> {
    const session = this.#session;
    if (session === undefined) return;
    const open = [...this.#held.values()].filter(
      ({ id, canonical, confirmed }) => confirmed !== session && this.#current.get(canonical) === id,
    );
    const results = await Promise.allSettled(
      open.map((held) => this.#turns.run(held.canonical, () => this.#confirm(held, session))),
    );
    const failed = results.find(({ status }) => status === "rejected");
    // An outage shows where the store is, and ends with another session.
    if (failed?.status === "rejected" && !session.signal.aborted) throw failed.reason;
  }

  /**
   * Deletes numbers that nobody has held for so long, and lets go of what this node does not use any more.
   *
   * @returns the numbers that were deleted
   * @throws KvStoreError
   */
  async collect(graceMs: number): Promise<readonly number[]> {
    const session = this.#session;
    if (session === undefined) return [];
    const { held, own } = await this.#ledger.holders(session);
    for (const id of own) await this.#letGoUnused(session, id);
    const gone: number[] = [];
    for (const id of Array.from(this.#numbers.entries.keys(), Number)) {
      if (held.has(id) || this.#held.has(id)) {
        this.#unheld.delete(id);
        continue;
      }
      const since = this.#unheld.get(id) ?? performance.now();
      this.#unheld.set(id, since);
      if (performance.now() - since < graceMs || !(await this.#ledger.forget(session, id))) continue;
      this.#unheld.delete(id);
      gone.push(id);
    }
    this.#refresh(gone);
    return gone;
  }

  /** Lets go of a number that the store says this node holds, if it does not. @throws KvStoreError */
  async #letGoUnused(session: KvSession, id: number): Promise<void> {
    const labels = this.#numbers.get(String(id))?.record.labels;
    // A number that nobody has yet heard of was made just now, and one that is gone is nobody's to keep.
    if (this.#held.has(id) || labels === undefined) return;
    // In turn: the store may know sooner than this node that it holds the number now.
    await this.#turns.run(canonicalLabels(labels), async () => {
      if (!this.#held.has(id)) await this.#ledger.letGo(session, id);
    });
  }

  /** The number of labels that this node does not hold yet. */
  async #take(labels: Labels, canonical: string): Promise<Held> {
    const known = this.#knownNumber(canonical);
    const session = this.#session;
    if (session !== undefined) {
      try {
        return this.#hold(await this.#ledger.hold(session, labels, known), labels, canonical, session);
      } catch (error) {
        if (!(error instanceof KvStoreError)) throw error;
        this.#parts.log.warn({ err: error, labels }, "the store does not give a number: going on without");
        this.#parts.onUnsettled();
      }
    }
    return this.#hold(known ?? this.#provisional(canonical), labels, canonical, undefined);
  }

  async #confirm(held: Held, session: KvSession): Promise<void> {
    if (this.#held.get(held.id) !== held || this.#current.get(held.canonical) !== held.id) return;
    const { id, labels, canonical } = held;
    const wanted = isProvisional(id) ? this.#knownNumber(canonical) : id;
    const to = await this.#ledger.hold(session, labels, wanted);
    if (to === id) {
      held.confirmed = session;
      return;
    }
    this.#hold(to, labels, canonical, session);
    this.#refresh([to]);
    this.#parts.log.info({ from: id, to, labels }, "labels have another number");
    this.#renumbered.next({ from: id, to });
  }

  #hold(id: number, labels: Labels, canonical: string, confirmed: KvSession | undefined): Held {
    const held = this.#held.get(id) ?? { id, labels: { ...labels }, canonical, references: 0, confirmed };
    held.confirmed = confirmed;
    this.#held.set(id, held);
    this.#current.set(canonical, id);
    return held;
  }

  /** Nobody here uses the number any more. */
  #drop({ id, canonical }: Held): void {
    this.#held.delete(id);
    const current = this.#current.get(canonical);
    if (current === id) this.#current.delete(canonical);
    else if (current !== undefined) this.#dropUnused(current);
    this.#letGo(id, canonical);
  }

  /** The number that labels were moved to, but which nobody has taken up. */
  #dropUnused(id: number): void {
    const held = this.#held.get(id);
    if (held === undefined || held.references > 0) return;
    this.#drop(held);
    this.#refresh([id]);
  }

  #letGo(id: number, canonical: string): void {
    if (isProvisional(id)) return;
    // In turn: who acquires it again right away holds it after this.
    void this.#turns.run(canonical, async () => {
      const session = this.#session;
      if (session === undefined || this.#held.has(id)) return;
      // What fails is done by the next `collect`, or by the end of the lease.
      await this.#ledger.letGo(session, id).catch((err: unknown) => {
        this.#parts.log.debug({ err, id }, "the store does not let go of an identity yet");
      });
    });
  }

  #knownNumber(canonical: string): number | undefined {
    return this.table
      .byIndex("labels", canonical)
      .map(({ id }) => id)
      .find((id) => this.#numbers.get(String(id)) !== undefined);
  }

  #provisional(canonical: string): number {
    for (let attempt = 0; ; attempt += 1) {
      const id = provisionalNumber(canonical, attempt);
      const taken = this.#held.get(id);
      if (taken === undefined || taken.canonical === canonical) return id;
    }
  }

  /** Shows numbers as the store and this node have them. */
  #refresh(ids: readonly number[]): void {
    const rows: Identity[] = [];
    const gone: number[] = [];
    const relabelled: number[] = [];
    for (const id of ids) {
      const held = this.#held.get(id);
      const labels = this.#numbers.get(String(id))?.record.labels ?? held?.labels;
      if (labels === undefined) {
        gone.push(id);
        continue;
      }
      rows.push({ id, labels, reserved: undefined, references: held?.references ?? 0 });
      const shown = this.table.get(id)?.labels;
      if (shown !== undefined && canonicalLabels(shown) !== canonicalLabels(labels)) relabelled.push(id);
    }
    // Those who follow the table rely on it: a number has other labels only after it has gone.
    this.table.deleteMany(relabelled);
    this.table.transaction(() => {
      this.table.deleteMany(gone);
      this.table.upsertMany(rows);
    });
  }

  #row(id: number): Identity {
    const row = this.table.get(id);
    if (row === undefined) throw notFound("identity", id);
    return row;
  }
}
