/** A small reader of BPF Type Format: struct layouts and the variables of data sections. */
import type { StructLayout } from "../types.ts";
import { type DecodedBtf, decodeBtf } from "./decode.ts";
import { BtfKind, type BtfSection, type BtfType } from "./types.ts";

export type { BtfSection, BtfVariable } from "./types.ts";

const POINTER_BYTES = 8;
/** Chains of typedefs and qualifiers are short; a longer one is a loop in broken data. */
const MAX_REFERENCES = 64;

type Member = StructLayout["members"][number];

/** The types of one object file. */
export class Btf {
  readonly #raw: Buffer;
  readonly #decoded: DecodedBtf;
  #structs: Map<string, number> | undefined;

  /** @param object names the file in errors @throws DatapathError when `raw` is no BTF */
  constructor(raw: Buffer, object: string) {
    this.#raw = raw;
    this.#decoded = decodeBtf(raw, object);
  }

  /**
   * Layout of the struct or union of this name. Members of anonymous structs and unions inside it are listed
   * as its own, as C addresses them. A bitfield is listed with the bytes it touches.
   */
  struct(name: string): StructLayout | undefined {
    this.#structs ??= new Map(
      this.#decoded.types.flatMap((type, id) =>
        isComposite(type) && type.name !== "" ? [[type.name, id]] : [],
      ),
    );
    const id = this.#structs.get(name);
    if (id === undefined) return undefined;
    const type = this.#type(id);
    return { name, size: type.sizeOrType, members: this.#members(type, 0) };
  }

  /** Data sections with their variables; offsets are right once libbpf has opened the object. */
  sections(): readonly BtfSection[] {
    return this.#decoded.types
      .filter((type) => type.kind === BtfKind.dataSection)
      .map((section) => ({
        name: section.name,
        variables: Array.from({ length: section.vlen }, (_, i) => {
          const at = section.dataOffset + 12 * i;
          return {
            name: this.#type(this.#raw.readUInt32LE(at)).name,
            offset: this.#raw.readUInt32LE(at + 4),
            size: this.#raw.readUInt32LE(at + 8),
          };
        }),
      }));
  }

  #type(id: number): BtfType {
    const type = this.#decoded.types[id];
    if (type === undefined) throw new RangeError(`BTF has no type ${id}`);
    return type;
  }

  #members(composite: BtfType, base: number): Member[] {
    return Array.from({ length: composite.vlen }, (_, i) => composite.dataOffset + 12 * i).flatMap((at) => {
      const name = this.#decoded.nameAt(this.#raw.readUInt32LE(at));
      const typeId = this.#raw.readUInt32LE(at + 4);
      const position = this.#raw.readUInt32LE(at + 8);
      const bitOffset = composite.kindFlag ? position & 0xffffff : position;
      const bitSize = composite.kindFlag ? position >>> 24 : 0;
      const offset = base + Math.floor(bitOffset / 8);
      const inner = this.#resolve(typeId);
      if (name === "" && isComposite(inner)) return this.#members(inner, offset);
      const size = bitSize === 0 ? this.#sizeOf(typeId) : Math.ceil(((bitOffset % 8) + bitSize) / 8);
      return [{ name, offset, size }];
    });
  }

  /** The type behind typedefs and qualifiers. */
  #resolve(id: number): BtfType {
    let type = this.#type(id);
    for (let i = 0; isReference(type); i++) {
      if (i === MAX_REFERENCES) throw new RangeError(`BTF type ${id} refers to itself`);
      type = this.#type(type.sizeOrType);
    }
    return type;
  }

  #sizeOf(id: number): number {
    const type = this.#resolve(id);
    switch (type.kind) {
      case BtfKind.pointer:
        return POINTER_BYTES;
      case BtfKind.array:
        return (
          this.#sizeOf(this.#raw.readUInt32LE(type.dataOffset)) * this.#raw.readUInt32LE(type.dataOffset + 8)
        );
      case BtfKind.int:
      case BtfKind.enum:
      case BtfKind.enum64:
      case BtfKind.float:
      case BtfKind.struct:
      case BtfKind.union:
        return type.sizeOrType;
      default:
        return 0;
    }
  }
}

function isComposite(type: BtfType): boolean {
  return type.kind === BtfKind.struct || type.kind === BtfKind.union;
}

function isReference(type: BtfType): boolean {
  const { typedef, volatile, const: constant, restrict, typeTag } = BtfKind;
  return ([typedef, volatile, constant, restrict, typeTag] as number[]).includes(type.kind);
}
