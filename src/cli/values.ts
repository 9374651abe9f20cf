// Readers of option values. What they throw is shown as it is, so it says what is accepted.

import { readFileSync } from "node:fs";
import { UsageError } from "./exit.ts";

const durationUnits = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** "500ms", "10s", "2m", or seconds without a unit; in milliseconds. @throws UsageError */
export function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
  if (match === null) throw new UsageError(`${JSON.stringify(text)} is no duration: write 500ms, 10s or 2m`);
  return Number(match[1]) * durationUnits[(match[2] ?? "s") as keyof typeof durationUnits];
}

/** A whole number within bounds. @throws UsageError */
export const integer =
  (what: string, min: number, max: number) =>
  (text: string): number => {
    const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) {
      throw new UsageError(`${what} is a whole number from ${min} to ${max}, not ${JSON.stringify(text)}`);
    }
    return value;
  };

/** Collects "key=value" options into an object. @throws UsageError */
export const keyValue =
  (what: string) =>
  (text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> => {
    const at = text.indexOf("=");
    if (at < 1) throw new UsageError(`${what} is written KEY=VALUE, not ${JSON.stringify(text)}`);
    const key = text.slice(0, at);
    if (Object.hasOwn(before, key)) throw new UsageError(`${what} ${JSON.stringify(key)} is given twice`);
    return { ...before, [key]: text.slice(at + 1) };
  };

/** Collects an option given several times, each with one or more values between commas. */
export const list = (text: string, before: readonly string[] = []): string[] => [
  ...before,
  ...text.split(",").filter((item) => item !== ""),
];

/** Collects an option given several times. */
export const each = (text: string, before: readonly string[] = []): string[] => [...before, text];

/** One of some words. @throws UsageError */
export const oneOf =
  <const W extends string>(what: string, words: readonly W[]) =>
  (text: string): W => {
    const found = words.find((one) => one === text.toLowerCase());
    if (found === undefined)
      throw new UsageError(`${what} is one of ${words.join(", ")}, not ${JSON.stringify(text)}`);
    return found;
  };

/** A file's text; "-" reads standard input. @throws UsageError */
export function fileText(path: string): string {
  try {
    return readFileSync(path === "-" ? 0 : path, "utf8");
  } catch (error) {
    throw new UsageError(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const integerWidths = { u8: 1, u16: 2, u32: 4, u64: 8 } as const;

/**
 * Bytes as people write them: "0x0a000105" or "0a:00:01:05" as they are, "u32:5" as a little-endian number.
 * @throws UsageError
 */
export function bytes(what: string, text: string): Buffer {
  const typed = /^(u8|u16|u32|u64):(\d+|0x[0-9a-f]+)$/i.exec(text);
  if (typed !== null) {
    const width = integerWidths[typed[1]!.toLowerCase() as keyof typeof integerWidths];
    const value = BigInt(typed[2]!);
    if (value >> BigInt(8 * width) !== 0n)
      throw new UsageError(`${what}: ${typed[2]} does not fit ${typed[1]}`);
    const wide = Buffer.alloc(8);
    wide.writeBigUInt64LE(value);
    return wide.subarray(0, width);
  }
  const hex = text.replace(/^0x/i, "").replaceAll(":", "");
  if (!/^([0-9a-f]{2})+$/i.test(hex)) {
    throw new UsageError(
      `${what} is written 0x0a000105 (bytes in memory order) or u32:5, not ${JSON.stringify(text)}`,
    );
  }
  return Buffer.from(hex, "hex");
}
