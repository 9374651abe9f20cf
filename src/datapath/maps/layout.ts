/**
 * A small language for C structs: `struct("lb4_key", { address: ipv4, dport: port, … })` gives a codec that
 * knows the name, offset and size of each member, so that it can be compared with the BTF of a compiled
 * object (see check.ts). Members follow each other without gaps; padding is written out, as it is in C.
 */
import {
  formatIpv4,
  ipv4FromBytes,
  ipv6Bytes,
  ipv6FromBytes,
  macBytes,
  macFromBytes,
  parseIpv4,
} from "../address.ts";
import { DatapathError } from "../errors.ts";
import type { Codec } from "../types.ts";

/** A member's type: how it is stored. */
export interface FieldType<T> extends Codec<T> {
  /** Words of a layout: "u32", "be16", "bytes[8]". */
  readonly describe: string;
  /** Name in C where it is not the TypeScript name in snake case. */
  readonly cName?: string;
  /** Not a member of the value; always written as zeros. */
  readonly padding?: true;
}

/** A member of a struct layout. Offset and size in bytes. */
export interface LayoutField {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly describe: string;
  readonly padding: boolean;
}

/** A codec of a C struct. */
export interface StructCodec<T> extends Codec<T> {
  /** Name in C: "endpoint_info" for `struct endpoint_info`. */
  readonly structName: string;
  readonly fields: readonly LayoutField[];
}

type Fields = Readonly<Record<string, FieldType<unknown>>>;
type FieldValue<F> = F extends FieldType<infer T> ? T : never;
type ValueKeys<F> = { [K in keyof F]: F[K] extends { readonly padding: true } ? never : K }[keyof F];

/** The value type of a set of fields: all of them but padding. */
export type StructValue<F> = { readonly [K in ValueKeys<F>]: FieldValue<F[K]> };

function integer(
  describe: string,
  size: number,
  max: number,
  write: (into: Buffer, value: number, offset: number) => void,
  read: (from: Buffer, offset: number) => number,
): FieldType<number> {
  return {
    describe,
    size,
    encode(value, into, offset) {
      if (!Number.isInteger(value) || value < 0 || value > max) {
        throw new DatapathError({
          operation: "encode",
          object: describe,
          detail: `${value} is not from 0 to ${max}`,
          status: "INVALID_ARGUMENT",
        });
      }
      write(into, value, offset);
    },
    decode: read,
  };
}

/** One byte. */
export const u8 = integer(
  "u8",
  1,
  0xff,
  (into, value, offset) => into.writeUInt8(value, offset),
  (from, offset) => from.readUInt8(offset),
);

/** Two bytes in host order. Waggle runs on little-endian machines only, as its prebuilt parts do. */
export const u16 = integer(
  "u16",
  2,
  0xffff,
  (into, value, offset) => into.writeUInt16LE(value, offset),
  (from, offset) => from.readUInt16LE(offset),
);

/** Four bytes in host order. */
export const u32 = integer(
  "u32",
  4,
  0xffffffff,
  (into, value, offset) => into.writeUInt32LE(value, offset),
  (from, offset) => from.readUInt32LE(offset),
);

/** Two bytes in network order, a number in host order in TypeScript: a port. */
export const port = integer(
  "be16",
  2,
  0xffff,
  (into, value, offset) => into.writeUInt16BE(value, offset),
  (from, offset) => from.readUInt16BE(offset),
);

/** Eight bytes in host order. */
export const u64: FieldType<bigint> = {
  describe: "u64",
  size: 8,
  encode: (value, into, offset) => {
    into.writeBigUInt64LE(value, offset);
  },
  decode: (from, offset) => from.readBigUInt64LE(offset),
};

/** An IPv4 address: network order in C, text in TypeScript. */
export const ipv4: FieldType<string> = {
  describe: "be32",
  size: 4,
  encode: (value, into, offset) => {
    into.writeUInt32BE(parseIpv4(value), offset);
  },
  decode: (from, offset) => formatIpv4(from.readUInt32BE(offset)),
};

/** An IPv6 address: sixteen bytes in network order in C, text in TypeScript (RFC 5952). */
export const ipv6: FieldType<string> = {
  describe: "ipv6",
  size: 16,
  encode: (value, into, offset) => {
    ipv6Bytes(value).copy(into, offset);
  },
  decode: (from, offset) => ipv6FromBytes(from, offset),
};

/** An IPv4 address in the first four of sixteen bytes; the others are zero (union with an IPv6 address in C). */
export const ipv4InUnion: FieldType<string> = {
  describe: "be32 in 16 bytes",
  size: 16,
  encode: (value, into, offset) => {
    into.fill(0, offset, offset + 16);
    into.writeUInt32BE(parseIpv4(value), offset);
  },
  decode: (from, offset) => ipv4FromBytes(from, offset),
};

/** A MAC address in eight bytes, the last two zero: C keeps it in a `__u64` or a union with one. */
export const mac: FieldType<string> = {
  describe: "mac in 8 bytes",
  size: 8,
  encode: (value, into, offset) => {
    macBytes(value).copy(into, offset);
    into.fill(0, offset + 6, offset + 8);
  },
  decode: (from, offset) => macFromBytes(from, offset),
};

/** An array of numbers. */
export function u64Array(length: number): FieldType<readonly bigint[]> {
  return {
    describe: `u64[${length}]`,
    size: 8 * length,
    encode(value, into, offset) {
      for (let i = 0; i < length; i++) into.writeBigUInt64LE(value[i] ?? 0n, offset + 8 * i);
    },
    decode: (from, offset) => Array.from({ length }, (_, i) => from.readBigUInt64LE(offset + 8 * i)),
  };
}

/** An array of numbers, kept as a typed array: tables of thousands are cheap to hold and to copy. */
export function u32Array(length: number): FieldType<Uint32Array> {
  return {
    describe: `u32[${length}]`,
    size: 4 * length,
    encode(value, into, offset) {
      if (value.length !== length) {
        throw new DatapathError({
          operation: "encode",
          object: `u32[${length}]`,
          detail: `${value.length} elements`,
          status: "INVALID_ARGUMENT",
        });
      }
      Buffer.from(value.buffer, value.byteOffset, value.byteLength).copy(into, offset);
    },
    decode: (from, offset) => Uint32Array.from({ length }, (_, i) => from.readUInt32LE(offset + 4 * i)),
  };
}

/** Bytes whose meaning another member decides. */
export function bytes(length: number): FieldType<Buffer> {
  return {
    describe: `bytes[${length}]`,
    size: length,
    encode: (value, into, offset) => {
      into.fill(0, offset, offset + length);
      value.copy(into, offset, 0, length);
    },
    decode: (from, offset) => Buffer.from(from.subarray(offset, offset + length)),
  };
}

/** Bytes that mean nothing, written as zeros. */
export function padding(size: number): FieldType<undefined> & { readonly padding: true } {
  return {
    describe: `padding[${size}]`,
    size,
    padding: true,
    encode: (_value, into, offset) => {
      into.fill(0, offset, offset + size);
    },
    decode: () => undefined,
  };
}

/** The same type under another name in C. */
export function named<T>(cName: string, type: FieldType<T>): FieldType<T> {
  return { ...type, cName };
}

/** A codec for a struct whose members lie one after another in the order given. */
export function struct<const F extends Fields>(structName: string, fields: F): StructCodec<StructValue<F>> {
  const layout: LayoutField[] = [];
  const members: { readonly key: string; readonly type: FieldType<unknown>; readonly offset: number }[] = [];
  let size = 0;
  for (const [key, type] of Object.entries(fields)) {
    members.push({ key, type, offset: size });
    layout.push({
      name: type.cName ?? snakeCase(key),
      offset: size,
      size: type.size,
      describe: type.describe,
      padding: type.padding === true,
    });
    size += type.size;
  }
  return {
    structName,
    fields: layout,
    size,
    encode(value, into, offset) {
      const record = value as Readonly<Record<string, unknown>>;
      for (const member of members) member.type.encode(record[member.key], into, offset + member.offset);
    },
    decode(from, offset) {
      const record: Record<string, unknown> = {};
      for (const { key, type, offset: at } of members) {
        if (type.padding !== true) record[key] = type.decode(from, offset + at);
      }
      return record as StructValue<F>;
    },
  };
}

/**
 * A struct codec whose value has another shape in TypeScript than its members in C.
 *
 * @param direct writes a value without the detour over its members, and returns whether it did: for maps that are
 * written by the ten thousand
 */
export function transform<C, T>(
  codec: StructCodec<C>,
  toMembers: (value: T) => C,
  fromMembers: (members: C) => T,
  direct: (value: T, into: Buffer, offset: number) => boolean = () => false,
): StructCodec<T> {
  return {
    structName: codec.structName,
    fields: codec.fields,
    size: codec.size,
    encode: (value, into, offset) => {
      if (!direct(value, into, offset)) codec.encode(toMembers(value), into, offset);
    },
    decode: (from, offset) => fromMembers(codec.decode(from, offset)),
  };
}

/** One value in a buffer of its own. */
export function encode<T>(codec: Codec<T>, value: T): Buffer {
  const buffer = Buffer.alloc(codec.size);
  codec.encode(value, buffer, 0);
  return buffer;
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
