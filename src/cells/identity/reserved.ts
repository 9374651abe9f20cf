import { invalidArgument } from "../errors.ts";
import { reservedPrefix } from "./labels.ts";
import { type Identity, type Labels, ReservedIdentity } from "./types.ts";

/** Number by name, as people and policies write them: "host", "world", "remote-node" … */
const numbers: ReadonlyMap<string, number> = new Map([
  ["unknown", ReservedIdentity.unknown],
  ["host", ReservedIdentity.host],
  ["world", ReservedIdentity.world],
  ["unmanaged", ReservedIdentity.unmanaged],
  ["health", ReservedIdentity.health],
  ["init", ReservedIdentity.init],
  ["remote-node", ReservedIdentity.remoteNode],
  ["service", ReservedIdentity.service],
]);

/** The number of a reserved identity, by its name without "reserved:"; undefined when there is none. */
export function reservedIdentity(name: string): number | undefined {
  return numbers.get(name);
}

/** Names of the reserved identities, for messages. */
export const reservedNames: readonly string[] = [...numbers.keys()];

/** Rows of the reserved identities. Nobody acquires them, so they count no references. */
export function reservedRows(): readonly Identity[] {
  return [...numbers].map(([name, id]) => ({
    id,
    labels: { [`${reservedPrefix}${name}`]: "" },
    reserved: name,
    references: 0,
  }));
}

/**
 * The reserved identity that labels name, or undefined when they are ordinary.
 *
 * @throws RefusalError INVALID_ARGUMENT for an unknown one, or one among other labels
 */
export function reservedByLabels(labels: Labels): number | undefined {
  const keys = Object.keys(labels);
  const key = keys.find((name) => name.startsWith(reservedPrefix));
  if (key === undefined) return undefined;
  const number = reservedIdentity(key.slice(reservedPrefix.length));
  const field = `labels[${JSON.stringify(key)}]`;
  if (number === undefined) {
    throw invalidArgument([
      { field, description: `no reserved identity has this name; there are ${reservedNames.join(", ")}` },
    ]);
  }
  if (keys.length > 1 || labels[key] !== "") {
    throw invalidArgument([{ field, description: "a reserved label stands alone and has no value" }]);
  }
  return number;
}
