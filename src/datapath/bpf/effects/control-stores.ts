/** Stores to a packet's control block, `cb[5]` of `struct __sk_buff` (include/uapi/linux/bpf.h). */
import { Callee, Class, type Instructions, Mode, Op } from "./instructions.ts";

const CB_OFFSET = 48;
const CB_WORDS = 5;
const WORD = 4;

/** A store to a word of the control block. */
export interface ControlStore {
  /** Of `ctx->cb`: 0 to 4. */
  readonly word: number;
  /** The word is set to zero, and no other: the value is in the instruction before the store. */
  readonly clears: boolean;
}

/** Registers as bits. */
const bit = (register: number): number => 1 << register;
const R1 = 1;
const SCRATCH = bit(0) | bit(1) | bit(2) | bit(3) | bit(4) | bit(5);
const ARGUMENTS = SCRATCH & ~bit(0);
/** Not reached yet: says nothing. */
const UNKNOWN = 0x7ff;

/**
 * The program's stores to the control block. A register is taken for the context where it holds it on every way there
 * is, and no longer than it stays in registers: nothing is reported that is no such store, but one may be missed.
 */
export function controlStores(insns: Instructions): readonly ControlStore[] {
  const contexts = contextRegisters(insns);
  const targets = jumpTargets(insns);
  const found: ControlStore[] = [];
  for (const index of insns.starts()) {
    const kind = insns.class(index);
    if ((kind !== Class.st && kind !== Class.stx) || insns.mode(index) !== Mode.mem) continue;
    if (contexts[index] === UNKNOWN || !(contexts[index]! & bit(insns.dst(index)))) continue;
    const begin = insns.offset(index) - CB_OFFSET;
    const end = begin + insns.width(index);
    const clears = begin % WORD === 0 && end === begin + WORD && isZero(insns, index, targets);
    for (let word = Math.max(0, Math.floor(begin / WORD)); word * WORD < end && word < CB_WORDS; word++) {
      found.push({ word, clears });
    }
  }
  return found;
}

/** For each instruction, which registers hold the context before it: what is so on all ways that lead to it. */
function contextRegisters(insns: Instructions): Uint16Array {
  const before = new Uint16Array(insns.length).fill(UNKNOWN);
  const work: number[] = [];
  const flow = (to: number, registers: number): void => {
    if (to < 0 || to >= insns.length) return;
    const met = before[to]! & registers;
    if (met === before[to]) return;
    before[to] = met;
    work.push(to);
  };
  flow(0, bit(R1));
  for (let index = work.pop(); index !== undefined; index = work.pop()) {
    const after = step(insns, index, before[index]!);
    const code = insns.code(index);
    if (code === Op.call && insns.src(index) === Callee.subprogram) {
      flow(index + 1 + insns.imm(index), before[index]! & ARGUMENTS);
    }
    const target = jumpTarget(insns, index);
    if (target !== undefined) flow(target, after);
    if (code === Op.exit || code === Op.jump || code === Op.jumpLong) continue;
    flow(index + (insns.isWide(index) ? 2 : 1), after);
  }
  return before;
}

/** What an instruction makes of the registers. */
function step(insns: Instructions, index: number, registers: number): number {
  const code = insns.code(index);
  const dst = bit(insns.dst(index));
  switch (insns.class(index)) {
    case Class.alu:
    case Class.alu64: {
      const copies = code === Op.mov64 && insns.offset(index) === 0 && registers & bit(insns.src(index));
      return copies ? registers | dst : registers & ~dst;
    }
    case Class.ldx:
      return registers & ~dst;
    case Class.ld:
      // Other than immediates these are the calls of old (BPF_LD_ABS), which spend registers as calls do.
      return insns.isWide(index) ? registers & ~dst : registers & ~SCRATCH;
    case Class.stx:
      // Atomic ones may fetch what was there.
      return insns.mode(index) === Mode.atomic ? registers & ~bit(insns.src(index)) & ~bit(0) : registers;
    default:
      return code === Op.call ? registers & ~SCRATCH : registers;
  }
}

/** Where a jump leads, if it is one. */
function jumpTarget(insns: Instructions, index: number): number | undefined {
  const kind = insns.class(index);
  const code = insns.code(index);
  if (kind !== Class.jmp && kind !== Class.jmp32) return undefined;
  if (code === Op.call || code === Op.exit) return undefined;
  return index + 1 + (code === Op.jumpLong ? insns.imm(index) : insns.offset(index));
}

function jumpTargets(insns: Instructions): ReadonlySet<number> {
  const targets = new Set<number>();
  for (const index of insns.starts()) {
    const target = jumpTarget(insns, index);
    if (target !== undefined) targets.add(target);
  }
  return targets;
}

/** Is zero stored, as the store itself or the instruction before it says? */
function isZero(insns: Instructions, index: number, targets: ReadonlySet<number>): boolean {
  if (insns.class(index) === Class.st) return insns.imm(index) === 0;
  if (index === 0 || targets.has(index)) return false;
  const code = insns.code(index - 1);
  return (
    (code === Op.mov64Imm || code === Op.mov32Imm) &&
    insns.dst(index - 1) === insns.src(index) &&
    insns.imm(index - 1) === 0
  );
}
