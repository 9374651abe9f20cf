import { DatapathError } from "../errors.ts";
import { BtfKind, type BtfType } from "./types.ts";

const MAGIC = 0xeb9f;
const HEADER_BYTES = 24;
const TYPE_BYTES = 12;

/** Bytes of kind-specific data: fixed, and per member. Kinds not listed have none. */
const TRAILERS: ReadonlyMap<number, readonly [fixed: number, each: number]> = new Map([
  [BtfKind.int, [4, 0]],
  [BtfKind.array, [12, 0]],
  [BtfKind.struct, [0, 12]],
  [BtfKind.union, [0, 12]],
  [BtfKind.enum, [0, 8]],
  [BtfKind.funcProto, [0, 8]],
  [BtfKind.variable, [4, 0]],
  [BtfKind.dataSection, [0, 12]],
  [BtfKind.declTag, [4, 0]],
  [BtfKind.enum64, [0, 12]],
]);

export interface DecodedBtf {
  /** Indexed by type id; the first is void. */
  readonly types: readonly BtfType[];
  nameAt(offset: number): string;
}

/** Splits raw little-endian BTF into its type records. `object` names it in errors. @throws DatapathError */
export function decodeBtf(raw: Buffer, object: string): DecodedBtf {
  const invalid = (detail: string) => new DatapathError({ operation: "read BTF of", object, detail });
  if (raw.length < HEADER_BYTES || raw.readUInt16LE(0) !== MAGIC)
    throw invalid("no little-endian BTF header");
  const headerBytes = raw.readUInt32LE(4);
  const typesStart = headerBytes + raw.readUInt32LE(8);
  const typesEnd = typesStart + raw.readUInt32LE(12);
  const stringsStart = headerBytes + raw.readUInt32LE(16);
  const stringsEnd = stringsStart + raw.readUInt32LE(20);
  if (typesEnd > raw.length || stringsEnd > raw.length) throw invalid("sections reach beyond the end");

  const nameAt = (offset: number): string => {
    const start = stringsStart + offset;
    const end = raw.indexOf(0, start);
    if (start >= stringsEnd || end === -1) throw invalid(`no string at ${offset}`);
    return raw.toString("utf8", start, end);
  };

  const types: BtfType[] = [
    { name: "void", kind: BtfKind.void, vlen: 0, kindFlag: false, sizeOrType: 0, dataOffset: 0 },
  ];
  for (let at = typesStart; at < typesEnd; ) {
    if (at + TYPE_BYTES > typesEnd) throw invalid("a type record is cut off");
    const info = raw.readUInt32LE(at + 4);
    const kind = (info >>> 24) & 0x1f;
    if (kind === BtfKind.void || kind > BtfKind.enum64) throw invalid(`unknown kind ${kind}`);
    const vlen = info & 0xffff;
    types.push({
      name: nameAt(raw.readUInt32LE(at)),
      kind,
      vlen,
      kindFlag: info >>> 31 === 1,
      sizeOrType: raw.readUInt32LE(at + 8),
      dataOffset: at + TYPE_BYTES,
    });
    const [fixed, each] = TRAILERS.get(kind) ?? [0, 0];
    at += TYPE_BYTES + fixed + each * vlen;
    if (at > typesEnd) throw invalid("a type's members are cut off");
  }
  return { types, nameAt };
}
