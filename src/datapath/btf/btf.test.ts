import test from "ava";
import { DatapathError } from "../errors.ts";
import { Btf } from "./index.ts";
import { BtfKind } from "./types.ts";

/** Writes BTF as clang would: types in order, ids from 1. */
class BtfWriter {
  #types: Buffer[] = [];
  #strings = "\0";

  type(
    name: string,
    kind: number,
    sizeOrType: number,
    words: readonly number[] = [],
    vlen = 0,
    flag = 0,
  ): this {
    const all = [this.#name(name), ((flag << 31) | (kind << 24) | vlen) >>> 0, sizeOrType, ...words];
    this.#types.push(Buffer.from(Uint32Array.from(all).buffer));
    return this;
  }

  /** `members`: name, type id, bit offset (with `flag`: bitfield size in the upper 8 bits). */
  struct(
    name: string,
    size: number,
    members: readonly (readonly [string, number, number])[],
    flag = 0,
  ): this {
    const words = members.flatMap(([member, type, offset]) => [this.#name(member), type, offset]);
    return this.type(name, BtfKind.struct, size, words, members.length, flag);
  }

  bytes(): Buffer {
    const types = Buffer.concat(this.#types);
    const strings = Buffer.from(this.#strings);
    const header = Buffer.alloc(24);
    header.writeUInt16LE(0xeb9f, 0);
    header.writeUInt8(1, 2);
    header.writeUInt32LE(24, 4);
    header.writeUInt32LE(types.length, 12);
    header.writeUInt32LE(types.length, 16);
    header.writeUInt32LE(strings.length, 20);
    return Buffer.concat([header, types, strings]);
  }

  #name(text: string): number {
    if (text === "") return 0;
    this.#strings += `${text}\0`;
    return this.#strings.length - text.length - 1;
  }
}

const INT = BtfKind.int;

test("members behind typedefs, qualifiers and arrays have their real size", (t) => {
  const btf = new Btf(
    new BtfWriter()
      .type("unsigned int", INT, 4, [32])
      .type("__u32", BtfKind.typedef, 1)
      .type("", BtfKind.const, 2)
      .type("", BtfKind.array, 0, [3, 1, 4])
      .type("", BtfKind.pointer, 1)
      .struct("key", 32, [
        ["id", 3, 0],
        ["words", 4, 32],
        ["next", 5, 192],
      ])
      .bytes(),
    "test",
  );
  t.deepEqual(btf.struct("key"), {
    name: "key",
    size: 32,
    members: [
      { name: "id", offset: 0, size: 4 },
      { name: "words", offset: 4, size: 16 },
      { name: "next", offset: 24, size: 8 },
    ],
  });
});

test("an anonymous struct's members are listed as the outer one's", (t) => {
  const btf = new Btf(
    new BtfWriter()
      .type("short", INT, 2, [16])
      .struct("", 4, [
        ["low", 1, 0],
        ["high", 1, 16],
      ])
      .struct("outer", 6, [
        ["first", 1, 0],
        ["", 2, 16],
      ])
      .bytes(),
    "test",
  );
  t.deepEqual(
    btf.struct("outer")?.members.map(({ name, offset }) => [name, offset]),
    [
      ["first", 0],
      ["low", 2],
      ["high", 4],
    ],
  );
});

test("a bitfield is listed with the bytes it touches", (t) => {
  const field = (bits: number, offset: number) => ((bits << 24) | offset) >>> 0;
  const btf = new Btf(
    new BtfWriter()
      .type("unsigned int", INT, 4, [32])
      .struct("flags", 4, [["wide", 1, field(10, 6)]], 1)
      .bytes(),
    "test",
  );
  t.deepEqual(btf.struct("flags")?.members, [{ name: "wide", offset: 0, size: 2 }]);
});

test("data sections list their variables", (t) => {
  const btf = new Btf(
    new BtfWriter()
      .type("unsigned int", INT, 4, [32])
      .type("cfg_id", BtfKind.variable, 1, [1])
      .type(".rodata.config", BtfKind.dataSection, 8, [2, 4, 4], 1)
      .bytes(),
    "test",
  );
  t.deepEqual(btf.sections(), [
    { name: ".rodata.config", variables: [{ name: "cfg_id", offset: 4, size: 4 }] },
  ]);
});

test("broken data is refused by what is broken", (t) => {
  const refuses = (raw: Buffer, message: RegExp) =>
    t.throws(() => new Btf(raw, "broken.o"), { instanceOf: DatapathError, message });
  refuses(Buffer.alloc(10), /read BTF of broken\.o: no little-endian BTF header/);
  const good = new BtfWriter().type("int", INT, 4, [32]).bytes();
  refuses(good.subarray(0, good.length - 2), /reach beyond the end/);
  refuses(new BtfWriter().type("x", 31, 0).bytes(), /unknown kind 31/);
  refuses(new BtfWriter().type("cut", BtfKind.struct, 4, [], 3).bytes(), /cut off/);
});

test("a type that refers to itself does not loop forever", (t) => {
  const raw = new BtfWriter()
    .type("loop", BtfKind.typedef, 1)
    .struct("s", 4, [["member", 1, 0]])
    .bytes();
  t.throws(() => new Btf(raw, "loop.o").struct("s"), { message: /refers to itself/ });
});
