import type { TableKey } from "./types.ts";

/** A place in a history's doubly linked list. */
export class Link {
  prev: Link | undefined = undefined;
  next: Link | undefined = undefined;
}

/** A version of a row, or the memory of a deleted one. */
export class Entry<Row, Key extends TableKey> extends Link {
  readonly key: Key;
  readonly row: Row;
  readonly revision: number;
  /** When it was written, in milliseconds since the epoch. */
  readonly at: number;
  readonly deleted: boolean;
  /** Its place in the table's history, which is finer than the revision; 0 until it is committed. */
  seq = 0;

  constructor(key: Key, row: Row, revision: number, at: number, deleted: boolean) {
    super();
    this.key = key;
    this.row = row;
    this.revision = revision;
    this.at = at;
    this.deleted = deleted;
  }
}
