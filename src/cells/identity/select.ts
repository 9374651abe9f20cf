import type { TableDef, TableReader } from "../../table/index.ts";
import { canonicalLabels, includesLabels } from "./labels.ts";
import type { Identity, Labels } from "./types.ts";

/** Identities by number, labels, and single labels. */
export const identityTable: TableDef<Identity, number> = {
  name: "identities",
  key: ({ id }) => id,
  indexes: {
    // While labels move from one number to another, both are there.
    labels: { keys: ({ labels }) => [canonicalLabels(labels)] },
    label: { keys: ({ labels }) => Object.entries(labels).map(([key, value]) => labelIndex(key, value)) },
  },
};

/**
 * Identities whose labels include all of the selector. Reserved ones are selected by their own label alone: no labels
 * at all select every pod, not the world.
 */
export function selectIdentities(
  table: TableReader<Identity, number>,
  selector: Labels,
): readonly Identity[] {
  const labels = Object.entries(selector);
  if (labels.length === 0) return table.list().filter(({ reserved }) => reserved === undefined);
  const candidates = labels
    .map(([key, value]) => table.byIndex("label", labelIndex(key, value)))
    .reduce((fewest, rows) => (rows.length < fewest.length ? rows : fewest));
  return candidates.filter((row) => includesLabels(row.labels, selector));
}

const labelIndex = (key: string, value: string): string => `${key}=${value}`;
