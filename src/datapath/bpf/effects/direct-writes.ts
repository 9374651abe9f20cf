/**
 * Writes through packet pointers, as the verifier saw them.
 *
 * It puts a prologue in front of a tc program with such a write, in a subprogram or not, which makes the packet's
 * memory its own first (`bpf_unclone_prologue`, net/core/filter.c); the instructions it has translated show it. How it
 * looks is found out by a comparison of two programs, one that writes and one that does not.
 */

import { checked } from "../check.ts";
import { OwnedFd } from "../fd.ts";
import { bpf_prog_load } from "../ffi/program.ts";
import { translatedInstructions } from "../object-info.ts";
import { Class, type Instructions, Mode } from "./instructions.ts";

const SCHED_CLS = 3;
const LICENSE = "Dual BSD/GPL";

/** Where the access is, in which the two programs differ: so many instructions before their end. */
const ACCESS_FROM_END = 3;

/** `insn` with its fields: opcode, registers, offset, immediate. */
function insn(code: number, dst: number, src: number, offset: number, imm: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt8(code, 0);
  bytes.writeUInt8((src << 4) | dst, 1);
  bytes.writeInt16LE(offset, 2);
  bytes.writeInt32LE(imm, 4);
  return bytes;
}

/** Does something with the packet's first byte, when there is one. */
function probe(access: Buffer): Buffer {
  return Buffer.concat([
    insn(0x61, 2, 1, 76, 0), // r2 = ctx->data
    insn(0x61, 3, 1, 80, 0), // r3 = ctx->data_end
    insn(0xbf, 4, 2, 0, 0), // r4 = r2
    insn(0x07, 4, 0, 0, 1), // r4 += 1
    insn(0x2d, 4, 3, 1, 0), // if r4 > r3 goto +1
    access,
    insn(0xb7, 0, 0, 0, 0), // r0 = 0
    insn(0x95, 0, 0, 0, 0), // exit
  ]);
}

const reader = probe(insn(0x71, 0, 2, 0, 0)); // r0 = *(u8 *)(r2 + 0)
const writer = probe(insn(0x72, 2, 0, 0, 0)); // *(u8 *)(r2 + 0) = 0

/** The first instruction of the prologue, "load the byte with the bit that says cloned"; undefined: it was not recognised. */
export type WriteSign = Buffer | undefined;

let sign: { readonly found: WriteSign } | undefined;

/** How this kernel marks programs that write; found out once. @throws DatapathError when the programs do not load */
export function writeSign(): WriteSign {
  sign ??= { found: differenceOf(translated("wg_probe_read", reader), translated("wg_probe_write", writer)) };
  return sign.found;
}

function translated(name: string, bytes: Buffer): Instructions | undefined {
  const object = `program ${name}`;
  const fd = bpf_prog_load(SCHED_CLS, name, LICENSE, bytes, bytes.length / 8, null);
  const owned = new OwnedFd(checked(fd, "load", object), object);
  try {
    return translatedInstructions(owned.number, object);
  } finally {
    owned.close();
  }
}

/**
 * What the writing program begins with and the reading one does not: it is taken for the sign if all else is the same
 * but for the one access, and if it reads a byte of what the context points at.
 */
export function differenceOf(
  reading: Instructions | undefined,
  writing: Instructions | undefined,
): WriteSign {
  if (reading === undefined || writing === undefined) return undefined;
  const prologue = writing.length - reading.length;
  if (prologue <= 0) return undefined;
  for (let index = 0; index < reading.length; index++) {
    const same = reading.raw(index).equals(writing.raw(prologue + index));
    if (same === (index === reading.length - ACCESS_FROM_END)) return undefined;
  }
  const loadsByte =
    writing.class(0) === Class.ldx &&
    writing.mode(0) === Mode.mem &&
    writing.width(0) === 1 &&
    writing.src(0) === 1;
  return loadsByte && !hasSign(reading, writing.raw(0)) ? Buffer.from(writing.raw(0)) : undefined;
}

/** Is the sign anywhere in the program? The kernel may put other instructions before it. */
export function hasSign(insns: Instructions, sign: Buffer): boolean {
  for (const index of insns.starts()) if (insns.raw(index).equals(sign)) return true;
  return false;
}
