const production = process.env.NODE_ENV === "production";

/**
 * Makes a row immutable, outside production: whoever writes to a row that a table holds then gets a TypeError
 * instead of a table whose indexes and readers disagree. Plain objects and arrays are frozen all the way down;
 * what else a row may hold (class instances, typed arrays, which cannot be frozen) is left alone.
 */
export function freezeRow<Row>(row: Row): Row {
  if (!production && typeof row === "object" && row !== null) freezePlain(row);
  return row;
}

function freezePlain(value: object): void {
  if (!Array.isArray(value)) {
    const prototype = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) return;
  }
  Object.freeze(value);
  // Not Object.values(): most rows are flat, and an array for each would be most of what writing them costs.
  for (const name in value) {
    const member = (value as Readonly<Record<string, unknown>>)[name];
    if (typeof member === "object" && member !== null && !Object.isFrozen(member)) freezePlain(member);
  }
}
