// How values lie in the database: a CRC-32 over what follows (4 bytes, little endian), then JSON in UTF-8.
// LMDB guards its own structure by copy-on-write but does not notice a flipped bit inside a page.

import { crc32 } from "node:zlib";
import { StateArgumentError, StateCorruptError } from "./errors.ts";

const bigintTag = "$bigint";
const crcBytes = 4;

/**
 * @throws StateArgumentError for what JSON and bigint cannot carry (functions, class instances, NaN …), so that
 * nothing is stored that would come back different
 */
export function encodeValue(key: string, value: unknown): Buffer {
  const text = JSON.stringify(value, function (this: unknown, name: string, seen: unknown) {
    // `seen` has been through toJSON already: look at the original.
    const original = (this as Record<string, unknown>)[name];
    if (typeof original === "bigint") return { [bigintTag]: original.toString() };
    const problem = problemOf(original);
    if (problem !== undefined)
      throw new StateArgumentError(`store ${key}: ${name || "the value"} ${problem}`);
    return seen;
  });
  if (text === undefined) throw new StateArgumentError(`store ${key}: there is no value`);
  const body = Buffer.from(text);
  const stored = Buffer.allocUnsafe(crcBytes + body.length);
  stored.writeUInt32LE(crc32(body), 0);
  body.copy(stored, crcBytes);
  return stored;
}

/** @throws StateCorruptError when the value is not what was written */
export function decodeValue(object: string, stored: Uint8Array): unknown {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
  if (bytes.length <= crcBytes) throw new StateCorruptError(object, `it has ${bytes.length} bytes`);
  const body = bytes.subarray(crcBytes);
  if (crc32(body) !== bytes.readUInt32LE(0))
    throw new StateCorruptError(object, "its checksum does not match");
  try {
    const text = body.toString();
    // A reviver is called for every value inside, which takes many times as long as the parsing itself.
    if (!text.includes(bigintTag)) return JSON.parse(text);
    return JSON.parse(text, (_name, value: unknown) => {
      const tagged = isTagged(value) ? value[bigintTag] : undefined;
      return tagged === undefined ? value : BigInt(tagged);
    });
  } catch (cause) {
    throw new StateCorruptError(object, "it is no JSON", cause);
  }
}

function isTagged(value: unknown): value is { [bigintTag]: string } {
  return typeof value === "object" && value !== null && Object.hasOwn(value, bigintTag);
}

function problemOf(value: unknown): string | undefined {
  if (typeof value === "number") return Number.isFinite(value) ? undefined : `is ${value}`;
  if (typeof value === "function" || typeof value === "symbol") return `is a ${typeof value}`;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return "is an instance of a class";
  return Object.hasOwn(value, bigintTag) ? `has a member ${bigintTag}, which is reserved` : undefined;
}
