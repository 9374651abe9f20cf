import { UniqueIndexError } from "../errors.ts";
import type { CidrIndexDef, TableKey } from "../types.ts";
import { networkKey, parseAddress, parseNetwork } from "./address.ts";
import { KeyMultimap } from "./key-multimap.ts";

/** The networks of one address family: a hash table per prefix length, tried from the longest. */
class Family<Key extends TableKey> {
  readonly #byLength = new Map<number, KeyMultimap<string, Key>>();
  /** The lengths in use, longest first. */
  #lengths: number[] = [];

  add(length: number, network: string, key: Key): void {
    let keys = this.#byLength.get(length);
    if (!keys) {
      keys = new KeyMultimap();
      this.#byLength.set(length, keys);
      this.#lengths = [...this.#byLength.keys()].sort((a, b) => b - a);
    }
    keys.add(network, key);
  }

  remove(length: number, network: string, key: Key): void {
    const keys = this.#byLength.get(length);
    if (!keys?.remove(network, key) || keys.size > 0) return;
    this.#byLength.delete(length);
    this.#lengths = this.#lengths.filter((other) => other !== length);
  }

  exact(length: number, network: string): Iterable<Key> {
    return this.#byLength.get(length)?.get(network) ?? [];
  }

  get lengths(): readonly number[] {
    return this.#lengths;
  }
}

/** Finds rows by the network they stand for, exactly or by the longest prefix of an address. */
export class CidrIndex<Row, Key extends TableKey> {
  readonly #table: string;
  readonly #name: string;
  readonly #def: CidrIndexDef<Row>;
  readonly #v4 = new Family<Key>();
  readonly #v6 = new Family<Key>();

  constructor(table: string, name: string, def: CidrIndexDef<Row>) {
    this.#table = table;
    this.#name = name;
    this.#def = def;
  }

  /** An index with the same definition and no rows. */
  fresh(): CidrIndex<Row, Key> {
    return new CidrIndex(this.#table, this.#name, this.#def);
  }

  /** Throws unless the row may be written. */
  check(key: Key, row: Row): void {
    const cidr = this.#def.cidr(row);
    if (cidr === undefined) return;
    const { groups, length } = parseNetwork(cidr);
    if (!this.#def.unique) return;
    for (const holder of this.#family(groups.length).exact(length, networkKey(groups, length))) {
      if (holder !== key) throw new UniqueIndexError(this.#table, this.#name, cidr, holder, key);
    }
  }

  /** Replaces what the index knows of a row. */
  change(key: Key, before: Row | undefined, after: Row | undefined): void {
    const old = before === undefined ? undefined : this.#def.cidr(before);
    const now = after === undefined ? undefined : this.#def.cidr(after);
    if (old === now) return;
    if (old !== undefined) {
      const { groups, length } = parseNetwork(old);
      this.#family(groups.length).remove(length, networkKey(groups, length), key);
    }
    if (now !== undefined) {
      const { groups, length } = parseNetwork(now);
      this.#family(groups.length).add(length, networkKey(groups, length), key);
    }
  }

  /** The rows that stand for exactly this network. */
  exact(cidr: string): Iterable<Key> {
    const { groups, length } = parseNetwork(cidr);
    return this.#family(groups.length).exact(length, networkKey(groups, length));
  }

  /** The rows whose network holds the address, with its prefix length, longest first. */
  *containing(ip: string): IterableIterator<readonly [length: number, key: Key]> {
    const groups = parseAddress(ip);
    const family = this.#family(groups.length);
    for (const length of family.lengths) {
      for (const key of family.exact(length, networkKey(groups, length))) yield [length, key];
    }
  }

  #family(groups: number): Family<Key> {
    return groups === 2 ? this.#v4 : this.#v6;
  }
}
