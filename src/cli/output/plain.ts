// Messages as plain data for --json: enums as words, 64-bit numbers as numbers where they fit, bytes as hex.

/** An enum as ts-proto generates it: name to number. */
export type EnumNumbers = Readonly<Record<string, number>>;

/** Which fields of a message hold which enum; the same words mean other things in other messages. */
export type EnumFields = Readonly<Record<string, EnumNumbers>>;

/** "NOT_READY" as "not-ready"; an unknown number as itself, in text. */
export function word(numbers: EnumNumbers, value: number): string {
  const name = Object.entries(numbers).find(([, number]) => number === value)?.[0];
  return name === undefined ? String(value) : name.toLowerCase().replaceAll("_", "-");
}

/** A count as a JSON number when that is exact, otherwise as text. */
export const exact = (value: bigint): number | string =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER)
    ? Number(value)
    : String(value);

interface Choice {
  readonly $case: string;
  readonly value: unknown;
}
const isChoice = (value: unknown): value is Choice =>
  typeof value === "object" && value !== null && "$case" in value && "value" in value;

function field(name: string, value: unknown, enums: EnumFields): unknown {
  const numbers = enums[name];
  if (numbers === undefined) return plain(value, enums);
  if (typeof value === "number") return word(numbers, value);
  if (Array.isArray(value)) return value.map((one) => field(name, one, enums));
  return plain(value, enums);
}

/** Turns a message into data for JSON.stringify. A oneof becomes a field named by its case, as in proto3 JSON. */
export function plain(value: unknown, enums: EnumFields = {}): unknown {
  if (typeof value === "bigint") return exact(value);
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map((one) => plain(one, enums));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, one]) => one !== undefined)
      .map(([name, one]) =>
        isChoice(one) ? [one.$case, field(one.$case, one.value, enums)] : [name, field(name, one, enums)],
      ),
  );
}
