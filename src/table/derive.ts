import type { Subscription } from "rxjs";
import { DeriveError } from "./errors.ts";
import type { Change, RWTable, Table, TableKey } from "./types.ts";

/** A table that is being kept in step with another. */
export interface Derivation {
  /** Brings the target up to date, and keeps it so. Safe to repeat. */
  start(): void;
  /** Leaves the target as it is. Safe to repeat; `start` catches up with what was missed. */
  stop(): void;
}

/** How a derivation deals with what goes wrong. */
export interface DeriveOptions {
  /**
   * Told of a row that could not be mapped or written; what was derived from it before stays. By default the
   * error is thrown where nobody can catch it, as RxJS does with the errors of observers.
   */
  readonly onError?: (error: DeriveError) => void;
}

/**
 * Derives one table's rows from another's. Each transaction on the source becomes one on the target. When
 * several source rows yield the same target key, the one written last wins; when it goes, an earlier one
 * takes its place. The target counts as initialized once the source is and its rows have been mapped.
 *
 * @param map what a source row yields; must depend on the row alone
 * @throws InitializerError when the target is initialized already
 * @example
 * const ips = derive(pods, ipTable, (pod) => pod.ips.map((ip) => ({ ip, pod: pod.name })));
 * ips.start();
 */
export function derive<A, KA extends TableKey, B, KB extends TableKey>(
  source: Table<A, KA>,
  target: RWTable<B, KB>,
  map: (row: A) => readonly B[],
  options: DeriveOptions = {},
): Derivation {
  return new TableDerivation(source, target, map, options);
}

class TableDerivation<A, KA extends TableKey, B, KB extends TableKey> implements Derivation {
  readonly #source: Table<A, KA>;
  readonly #target: RWTable<B, KB>;
  readonly #map: (row: A) => readonly B[];
  readonly #onError: (error: DeriveError) => void;
  readonly #initialized: () => void;
  /** The target keys that each source row yields. */
  readonly #yields = new Map<KA, readonly KB[]>();
  /** What went wrong in the transaction under way; told after it, for the listener may throw. */
  #errors: DeriveError[] = [];
  /** The source rows that yield a target key, the one that wins last. */
  readonly #sources = new Map<KB, readonly KA[]>();
  #running: { readonly subscription: Subscription; readonly stop: AbortController } | undefined;

  constructor(
    source: Table<A, KA>,
    target: RWTable<B, KB>,
    map: (row: A) => readonly B[],
    options: DeriveOptions,
  ) {
    this.#source = source;
    this.#target = target;
    this.#map = map;
    this.#onError = options.onError ?? throwLater;
    this.#initialized = target.registerInitializer(`derived from ${source.name}`);
  }

  start(): void {
    if (this.#running) return;
    const stop = new AbortController();
    const subscription = this.#source.changeBatches().subscribe((changes) => this.#apply(changes));
    this.#running = { subscription, stop };
    this.#source.whenInitialized(stop.signal).then(this.#initialized, () => undefined);
  }

  stop(): void {
    this.#running?.stop.abort();
    this.#running?.subscription.unsubscribe();
    this.#running = undefined;
  }

  #apply(changes: readonly Change<A, KA>[]): void {
    this.#target.transaction(() => {
      if (changes.at(-1)?.kind === "sync") this.#dropMissing();
      for (const change of changes) {
        if (change.kind === "sync") continue;
        const { key, row, kind } = change;
        this.#attempt(key, () => this.#set(key, kind === "upsert" ? this.#map(row) : []));
      }
    });
    const errors = this.#errors;
    this.#errors = [];
    for (const error of errors) this.#onError(error);
  }

  /** At the beginning: rows that went while nobody was looking. */
  #dropMissing(): void {
    for (const key of [...this.#yields.keys()]) {
      if (!this.#source.has(key)) this.#attempt(key, () => this.#set(key, []));
    }
  }

  /** One row's failure must not undo what the others yield. */
  #attempt(key: KA, write: () => void): void {
    try {
      this.#target.transaction(write);
    } catch (error) {
      this.#errors.push(new DeriveError(this.#source.name, this.#target.name, key, error));
    }
  }

  #set(key: KA, rows: readonly B[]): void {
    const now = rows.map((row) => this.#target.keyOf(row));
    const kept = new Set(now);
    const gone = (this.#yields.get(key) ?? []).filter((old) => !kept.has(old));
    for (const old of gone) this.#withdraw(key, old);
    this.#target.upsertMany(rows);
    // Nothing throws from here on, so what is remembered always matches what is written.
    for (const old of gone) this.#forget(key, old);
    for (const one of kept) this.#sources.set(one, [...this.#others(key, one), key]);
    if (now.length > 0) this.#yields.set(key, [...kept]);
    else this.#yields.delete(key);
  }

  /** Takes back a target row, unless it is another source row's by now. */
  #withdraw(key: KA, yielded: KB): void {
    if (this.#sources.get(yielded)?.at(-1) !== key) return;
    const heir = this.#others(key, yielded).at(-1);
    const heirRow = heir === undefined ? undefined : this.#source.get(heir);
    const row = heirRow && this.#map(heirRow).findLast((one) => this.#target.keyOf(one) === yielded);
    if (row) this.#target.upsert(row);
    else this.#target.delete(yielded);
  }

  #forget(key: KA, yielded: KB): void {
    const others = this.#others(key, yielded);
    if (others.length > 0) this.#sources.set(yielded, others);
    else this.#sources.delete(yielded);
  }

  #others(key: KA, yielded: KB): readonly KA[] {
    return (this.#sources.get(yielded) ?? []).filter((other) => other !== key);
  }
}

function throwLater(error: DeriveError): void {
  setTimeout(() => {
    throw error;
  });
}
