import type { TypedMapSpec } from "../../datapath/index.ts";
import { lb4BackendsMap, lb4ReverseNatMap, lb4ServicesMap } from "../../datapath/maps/index.ts";
import type { Reconciler, Table } from "../../table/index.ts";
import {
  type EntryStates,
  type EntryStatus,
  encodeEntry,
  entryStatus,
  type ReconciledMap,
  type WantedEntry,
} from "../datapath/index.ts";
import { backendValue, frontendValue, slotKey, slotValue } from "./kernel-maps.ts";
import type { ServiceRow } from "./row.ts";

/** What the states of services are made from. */
export interface ServiceRows {
  readonly table: Table<ServiceRow, string>;
  readonly reconciler: Pick<Reconciler<ServiceRow, string>, "status">;
}

type Encoded = Omit<WantedEntry, "status">;

/** The states of the three maps of services, from the services whose entries stand in them. */
export function serviceMapStates(rows: ServiceRows): {
  readonly services: ReconciledMap;
  readonly backends: ReconciledMap;
  readonly reverseNat: ReconciledMap;
} {
  const reconciled = (
    { name: map }: Pick<TypedMapSpec<never, never>, "name">,
    entries: (row: ServiceRow) => readonly Encoded[],
  ): ReconciledMap => ({ map, look: () => look(rows, entries) });
  return {
    services: reconciled(lb4ServicesMap, slotsOf),
    backends: reconciled(lb4BackendsMap, backendsOf),
    reverseNat: reconciled(lb4ReverseNatMap, reverseNatOf),
  };
}

function slotsOf(row: ServiceRow): readonly Encoded[] {
  const frontend = encodeEntry(
    lb4ServicesMap,
    slotKey(row, 0),
    frontendValue(row.backendIds.length, row.revNat),
  );
  const slots = row.backendIds.map((id, index) =>
    encodeEntry(lb4ServicesMap, slotKey(row, index + 1), slotValue(id, row.revNat)),
  );
  return [frontend, ...slots];
}

const backendsOf = (row: ServiceRow): readonly Encoded[] =>
  row.backends.map((backend, index) =>
    encodeEntry(lb4BackendsMap, row.backendIds[index]!, backendValue(backend, row.protocol)),
  );

const reverseNatOf = ({ revNat, ipv4: address, port }: ServiceRow): readonly Encoded[] => [
  encodeEntry(lb4ReverseNatMap, revNat, { address, port }),
];

function look(
  { table, reconciler }: ServiceRows,
  entries: (row: ServiceRow) => readonly Encoded[],
): EntryStates {
  const wanted = new Map<string, WantedEntry>();
  for (const row of table.all()) {
    const status = entryStatus(reconciler.status(row.name), true);
    for (const entry of entries(row)) {
      const id = entry.key.toString("latin1");
      wanted.set(id, { ...entry, status: better(wanted.get(id)?.status, status) });
    }
  }
  return {
    status: (key) => wanted.get(key.toString("latin1"))?.status ?? entryStatus(undefined, !table.initialized),
    outstanding: () => [...wanted.values()].filter(({ status }) => status.state !== "sync"),
  };
}

/** Services share backends: one that any of them has put in place is there. */
function better(known: EntryStatus | undefined, other: EntryStatus): EntryStatus {
  if (known === undefined || other.state === "sync") return other;
  return known.state === "sync" || known.error !== undefined ? known : other;
}
