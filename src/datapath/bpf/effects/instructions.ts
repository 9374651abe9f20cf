import { DatapathError } from "../../errors.ts";

/** Bytes of a `struct bpf_insn`. */
const SIZE = 8;

/** The fields of an opcode that are asked for here (Documentation/bpf/standardization/instruction-set.rst). */
export const Class = { ld: 0, ldx: 1, st: 2, stx: 3, alu: 4, jmp: 5, jmp32: 6, alu64: 7 } as const;
export const Mode = { imm: 0, mem: 3, atomic: 6 } as const;

/** Whole opcodes. */
export const Op = {
  jump: 0x05,
  /** `gotol`, whose distance is in `imm`. */
  jumpLong: 0x06,
  call: 0x85,
  exit: 0x95,
  mov32Imm: 0xb4,
  mov64Imm: 0xb7,
  mov64: 0xbf,
} as const;

/** What `src` of a call says: a helper by its number, a function of the program, a function of the kernel. */
export const Callee = { helper: 0, subprogram: 1, kernelFunction: 2 } as const;

/** Instructions as the kernel has them (`struct bpf_insn`, include/uapi/linux/bpf.h); a wide one takes two places. */
export class Instructions {
  readonly bytes: Buffer;
  readonly length: number;

  /** @throws DatapathError when the bytes end in the middle of an instruction */
  constructor(bytes: Buffer) {
    if (bytes.length % SIZE !== 0) {
      const detail = `${bytes.length} bytes are no whole number of instructions`;
      throw new DatapathError({ operation: "read", object: "BPF instructions", detail });
    }
    this.bytes = bytes;
    this.length = bytes.length / SIZE;
  }

  code(index: number): number {
    return this.bytes.readUInt8(index * SIZE);
  }

  class(index: number): number {
    return this.code(index) & 0x07;
  }

  /** Of loads and stores. */
  mode(index: number): number {
    return this.code(index) >> 5;
  }

  /** Bytes that a load or store moves. */
  width(index: number): number {
    return [4, 2, 1, 8][(this.code(index) >> 3) & 0x03]!;
  }

  dst(index: number): number {
    return this.bytes.readUInt8(index * SIZE + 1) & 0x0f;
  }

  src(index: number): number {
    return this.bytes.readUInt8(index * SIZE + 1) >> 4;
  }

  offset(index: number): number {
    return this.bytes.readInt16LE(index * SIZE + 2);
  }

  imm(index: number): number {
    return this.bytes.readInt32LE(index * SIZE + 4);
  }

  /** A 64-bit immediate, which goes on in the next place. */
  isWide(index: number): boolean {
    return this.class(index) === Class.ld && this.mode(index) === Mode.imm && this.width(index) === 8;
  }

  /** The eight bytes of one place. */
  raw(index: number): Buffer {
    return this.bytes.subarray(index * SIZE, (index + 1) * SIZE);
  }

  /** Places at which instructions begin. */
  *starts(): Iterable<number> {
    for (let index = 0; index < this.length; index += this.isWide(index) ? 2 : 1) yield index;
  }
}
