import type { Table } from "../../table/index.ts";

/** A row that nodes share. */
export interface SharedRow<T> {
  readonly key: string;
  readonly value: T;
  /** Name of the node that wrote it. */
  readonly node: string;
  /** Whether it is this node's: written by it and, in a leased collection, held by it. */
  readonly own: boolean;
  /** A change of this node that the store has not confirmed yet; never so with the embedded store. */
  readonly pending: boolean;
}

/** What a collection holds, and for how long. */
export interface SharedOptions<T> {
  /** Kebab-case; part of the keys in the store and of the names on disk. */
  readonly name: string;
  /**
   * Rows belong to the node that wrote them and vanish when it has been gone for its lease's time to live; a key has
   * one owner, the first. Otherwise rows belong to nobody, stay until they are deleted, and the newest change wins.
   */
  readonly leased?: boolean;
  /**
   * Checks what another node, or an earlier version of this one, has written under a key.
   *
   * @throws when it is no such value: the row is left out, and health says so
   */
  decode(value: unknown, key: string): T;
}

/**
 * Rows of one kind that all nodes of the cluster see. A change made here is on disk and in the table when its promise
 * resolves, whether the store can be reached or not, and is pushed when it can. What the store said last is kept on
 * disk, so the table is complete, if perhaps dated, once the kvstore cell has started.
 */
export interface SharedCollection<T> {
  readonly table: Table<SharedRow<T>, string>;
  /**
   * Resolves when the change is durable and in the table. Not usable before the kvstore cell has started.
   *
   * @param value JSON-like data, as for `StateCollection`
   * @throws StateArgumentError, StateWriteError; nothing has changed then
   */
  put(key: string, value: T): Promise<void>;
  /** Resolves when the deletion is durable and in the table; of a leased collection, only own rows can be deleted. */
  delete(key: string): Promise<void>;
}

/** Opens the collections that nodes share. */
export interface SharedCollections {
  /**
   * Call it in a constructor, once for each name; rows come when the kvstore cell starts.
   *
   * @throws StateArgumentError when the name is not kebab-case or is taken
   */
  open<T>(options: SharedOptions<T>): SharedCollection<T>;
}
