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

/** Reserved identities, with Cilium's numbers. */
export const ReservedIdentity = {
  unknown: 0,
  host: 1,
  world: 2,
  unmanaged: 3,
  health: 4,
  init: 5,
  remoteNode: 6,
} as const;

export interface IdentityAllocator {
  readonly table: Table<Identity, number>;
  /** One number for one label set, from 256 upward; kept across restarts. Counts a reference. */
  acquire(labels: Labels): Promise<Identity>;
  release(id: number): Promise<void>;
  byLabels(labels: Labels): Identity | undefined;
  /** Identities whose labels include all of `selector`. */
  select(selector: Labels): readonly Identity[];
}
