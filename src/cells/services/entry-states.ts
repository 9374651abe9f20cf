import type { TypedMapSpec } from "../../datapath/index.ts";
import {
  type LbKey,
  lb4BackendsMap,
  lb4ReverseNatMap,
  lb4ServicesMap,
  lb6BackendsMap,
  lb6ReverseNatMap,
  lb6ServicesMap,
  lbAffinityMatchMap,
  lbMaglevMap,
  Protocol,
} from "../../datapath/maps/index.ts";
import type { Reconciler, Table } from "../../table/index.ts";
import {
  type EntryStatus,
  encodeEntry,
  entryStatus,
  type ReconciledMap,
  type WantedEntry,
} from "../datapath/index.ts";
import type { NumberedBackend } from "./backend.ts";
import {
  affinityBackends,
  backendValue,
  frontendValue,
  hasMaglevTable,
  inSlots,
  slotKey,
  slotValue,
} from "./kernel-maps.ts";
import { addressKey, type Family } from "./keys.ts";
import { maglevTable } from "./maglev.ts";
import type { FrontendRow } from "./rows.ts";
import type { ServiceProtocol } from "./types.ts";

/** What the states of services' maps are made from. */
export interface FrontendRows {
  readonly table: Table<FrontendRow, string>;
  readonly reconciler: Pick<Reconciler<FrontendRow, string>, "status" | "metrics">;
  readonly backends: {
    /** The backend that has the id, if any service wants one that does. */
    byId(id: number): NumberedBackend | undefined;
    /** Whether it is in the kernel as it should be. */
    inKernel(backend: NumberedBackend): boolean;
  };
}

type Encoded = Omit<WantedEntry, "status">;

/** One of services' maps: its entries' rows, and its rows' entries. */
interface Part<K, V> {
  readonly spec: TypedMapSpec<K, V>;
  /** Status of the entry with this key. */
  status(key: K): EntryStatus;
  /** Entries that a row wants. */
  entries(row: FrontendRow): readonly (readonly [K, V])[];
}

const families = {
  4: { services: lb4ServicesMap, backends: lb4BackendsMap, reverseNat: lb4ReverseNatMap },
  6: { services: lb6ServicesMap, backends: lb6BackendsMap, reverseNat: lb6ReverseNatMap },
} as const;

/** The maps whose states `serviceMapStates` knows, in its order. */
export const serviceMapNames: readonly string[] = [
  ...([4, 6] as const).flatMap((family) => Object.values(families[family]).map(({ name }) => name)),
  lbAffinityMatchMap.name,
  lbMaglevMap.name,
];

/** The states of all maps of services, from the frontends whose entries stand in them. */
export function serviceMapStates(rows: FrontendRows): readonly ReconciledMap[] {
  const { table, reconciler } = rows;
  const statusOf = (row: FrontendRow | undefined, wanted = true): EntryStatus =>
    row === undefined || !wanted
      ? // Before all rows are back after a restart, none can be said to be missing.
        entryStatus(undefined, !table.initialized)
      : entryStatus(reconciler.status(table.keyOf(row)), true);
  const byRevNat = (revNat: number): FrontendRow | undefined => table.byIndex("revNat", revNat)[0];
  const ofFamily = (family: Family): readonly ReconciledMap[] => [
    mapStates(rows, {
      spec: families[family].services,
      status: (key) => {
        const row = table.get(rowKeyOf(key));
        return statusOf(row, row !== undefined && key.slot <= inSlots(row).length);
      },
      entries: (row) =>
        row.family !== family
          ? []
          : [
              [slotKey(row, 0), frontendValue(row)],
              ...inSlots(row).map(
                ({ id }, index) => [slotKey(row, index + 1), slotValue(id, row.revNat)] as const,
              ),
            ],
    }),
    mapStates(rows, {
      spec: families[family].backends,
      status: (id) => {
        const backend = rows.backends.byId(id);
        if (backend === undefined) return statusOf(undefined);
        return { state: rows.backends.inKernel(backend) ? "sync" : "pending" };
      },
      entries: (row) =>
        row.family !== family
          ? []
          : row.backends
              .filter((backend) => !rows.backends.inKernel(backend))
              .map((backend) => [backend.id, backendValue(backend, backend.state)] as const),
    }),
    mapStates(rows, {
      spec: families[family].reverseNat,
      status: (index) => statusOf(byRevNat(index)),
      entries: ({ family: of, revNat, ip: address, port }) =>
        of === family ? [[revNat, { address, port }]] : [],
    }),
  ];
  return [
    ...ofFamily(4),
    ...ofFamily(6),
    mapStates(rows, {
      spec: lbAffinityMatchMap,
      status: ({ backendId, revNatIndex }) => {
        const row = byRevNat(revNatIndex);
        return statusOf(row, row !== undefined && affinityBackends(row).some(({ id }) => id === backendId));
      },
      entries: (row) =>
        affinityBackends(row).map(({ id }) => [{ backendId: id, revNatIndex: row.revNat }, 1] as const),
    }),
    mapStates(rows, {
      spec: lbMaglevMap,
      status: (index) => {
        const row = byRevNat(index);
        return statusOf(row, row !== undefined && hasMaglevTable(row));
      },
      entries: (row) => (hasMaglevTable(row) ? [[row.revNat, { backends: maglevTable(row.chosen) }]] : []),
    }),
  ];
}

const protocolWords = new Map<number, ServiceProtocol>([
  [Protocol.tcp, "tcp"],
  [Protocol.udp, "udp"],
  [Protocol.sctp, "sctp"],
]);

function rowKeyOf({ address, port, protocol }: LbKey): string {
  const word = protocolWords.get(protocol);
  return word === undefined ? "" : addressKey({ ip: address, port }, word);
}

function mapStates<K, V>({ table, reconciler }: FrontendRows, part: Part<K, V>): ReconciledMap {
  const settled = (): boolean => {
    const { inError, revision } = reconciler.metrics();
    return inError === 0 && revision >= table.revision;
  };
  return {
    map: part.spec.name,
    look: () => ({
      status: (key) => part.status(part.spec.key.decode(key, 0)),
      outstanding: () => {
        if (settled()) return [];
        const wanted = new Map<string, WantedEntry>();
        for (const row of table.all()) {
          const status = entryStatus(reconciler.status(table.keyOf(row)), true);
          if (status.state === "sync") continue;
          for (const [key, value] of part.entries(row)) {
            const entry: Encoded = encodeEntry(part.spec, key, value);
            wanted.set(entry.key.toString("latin1"), { ...entry, status });
          }
        }
        return [...wanted.values()];
      },
    }),
  };
}
