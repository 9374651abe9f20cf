import type { TableKey } from "./types.ts";

/** A place in a history's doubly linked list. */
export class Link {
  prev: Link | undefined = undefined;
  next: Link | undefined = undefined;
}

/** Which transaction wrote a version, and when: one for all that it wrote, which may be ten thousands. */
export interface Stamp {
  readonly revision: number;
  /** In milliseconds since the epoch. */
  readonly at: number;
}

/** A version of a row, or the memory of a deleted one. It is also the change that made it: see `ChangeCursor.take`. */
export class Entry<Row, Key extends TableKey> extends Link {
  readonly key: Key;
  readonly row: Row;
  readonly stamp: Stamp;
  readonly deleted: boolean;
  /** Its place in the table's history, which is finer than the revision; 0 until it is committed. */
  seq = 0;

  constructor(key: Key, row: Row, stamp: Stamp, deleted: boolean) {
    super();
    this.key = key;
    this.row = row;
    this.stamp = stamp;
    this.deleted = deleted;
  }

  get kind(): "upsert" | "delete" {
    return this.deleted ? "delete" : "upsert";
  }

  get revision(): number {
    return this.stamp.revision;
  }

  /** As a change that stands for no earlier ones. */
  get since(): number {
    return this.stamp.revision;
  }

  /** When it was written, in milliseconds since the epoch. */
  get at(): number {
    return this.stamp.at;
  }
}
