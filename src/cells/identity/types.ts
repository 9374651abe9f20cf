import type { Observable } from "rxjs";
import type { Table } from "../../table/index.ts";

/** Labels as key → value; "reserved:host" and the like name reserved identities. */
export type Labels = Readonly<Record<string, string>>;

/** A number for a set of labels; the datapath knows only the number. */
export interface Identity {
  readonly id: number;
  readonly labels: Labels;
  /** Name of a reserved identity ("host", "world"), otherwise undefined. */
  readonly reserved: string | undefined;
  /** Endpoints that hold it. */
  readonly references: number;
}

/** Reserved identities, with Cilium's numbers; Waggle's own begin at 128. */
export const ReservedIdentity = {
  unknown: 0,
  host: 1,
  world: 2,
  unmanaged: 3,
  health: 4,
  init: 5,
  remoteNode: 6,
  service: 128,
} as const;

/** Labels have another number now. */
export interface Renumbering {
  readonly from: number;
  readonly to: number;
}

export interface IdentityAllocator {
  readonly table: Table<Identity, number>;
  /**
   * Tells that the labels of an identity that is held have another number. Whoever holds `from` acquires the labels
   * again, which gives `to`, and releases `from` once nothing is sent under it any more; until then both are in the
   * table.
   */
  readonly renumbered: Observable<Renumbering>;
  /**
   * One number for one label set in the whole cluster, from 256 upward; kept across restarts. Counts a reference.
   * While the shared store cannot be reached, labels it is not known to have a number for get a provisional one, from
   * 0x800000 upward, which other nodes know nothing of.
   */
  acquire(labels: Labels): Promise<Identity>;
  release(id: number): Promise<void>;
  byLabels(labels: Labels): Identity | undefined;
  /** Identities whose labels include all of `selector`. */
  select(selector: Labels): readonly Identity[];
}
