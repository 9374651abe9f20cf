import test from "ava";
import { callsAreHarmless } from "./calls.ts";
import { controlStores } from "./control-stores.ts";
import { differenceOf, hasSign } from "./direct-writes.ts";
import { Instructions } from "./instructions.ts";

/** An instruction: opcode, registers, offset, immediate. */
type Insn = readonly [code: number, dst?: number, src?: number, offset?: number, imm?: number];

function program(...insns: readonly Insn[]): Instructions {
  const bytes = Buffer.alloc(insns.length * 8);
  for (const [index, [code, dst = 0, src = 0, offset = 0, imm = 0]] of insns.entries()) {
    bytes.writeUInt8(code, index * 8);
    bytes.writeUInt8((src << 4) | dst, index * 8 + 1);
    bytes.writeInt16LE(offset, index * 8 + 2);
    bytes.writeInt32LE(imm, index * 8 + 4);
  }
  return new Instructions(bytes);
}

const exit: Insn = [0x95];
const copy = (dst: number, src: number): Insn => [0xbf, dst, src];
const set = (dst: number, value: number): Insn => [0xb7, dst, 0, 0, value];
const helper = (id: number): Insn => [0x85, 0, 0, 0, id];
const storeWord = (base: number, offset: number, src: number): Insn => [0x63, base, src, offset];
const loadDouble = (dst: number, base: number, offset: number): Insn => [0x79, dst, base, offset];
/** Goes on `offset` instructions further when the register is 0. */
const ifZero = (register: number, offset: number): Insn => [0x15, register, 0, offset, 0];
const word3 = 60;

test("calls of helpers that only read are harmless, and those that nobody has vouched for are not", (t) => {
  t.true(callsAreHarmless(program(helper(1), helper(26), helper(39), exit), false));
  for (const id of [9, 10, 11, 13, 18, 19, 31, 32, 38, 43, 50, 202, 212, 100_000]) {
    t.false(callsAreHarmless(program(helper(1), helper(id), exit), true), `helper ${id}`);
  }
});

test("a tail call is harmless where what it reaches is judged by itself", (t) => {
  t.true(callsAreHarmless(program(helper(12), exit), true));
  t.false(callsAreHarmless(program(helper(12), exit), false));
});

test("subprograms are looked at with the program; functions of the kernel are not known", (t) => {
  t.true(callsAreHarmless(program([0x85, 0, 1, 0, 1], exit, helper(5), exit), false));
  t.false(callsAreHarmless(program([0x85, 0, 1, 0, 1], exit, helper(9), exit), false));
  t.false(callsAreHarmless(program([0x85, 0, 2, 0, 1], exit), true));
});

test("the second half of a wide immediate is no instruction", (t) => {
  const wide: readonly Insn[] = [[0x18, 1], [0x85, 0, 0, 0, 9], exit];
  t.true(callsAreHarmless(program(...wide), false));
});

test("a store to the control block is found through copies of the context", (t) => {
  const insns = program(copy(6, 1), helper(5), storeWord(6, word3, 0), exit);
  t.deepEqual(controlStores(insns), [{ word: 3, clears: false }]);
});

test("a word is cleared when zero is put into the register just before, and nobody jumps in between", (t) => {
  t.deepEqual(controlStores(program(set(2, 0), storeWord(1, word3, 2), exit)), [{ word: 3, clears: true }]);
  t.deepEqual(controlStores(program(set(2, 1), storeWord(1, word3, 2), exit)), [{ word: 3, clears: false }]);
  const jumpedTo = program(set(2, 7), ifZero(3, 1), set(2, 0), storeWord(1, word3, 2), exit);
  t.deepEqual(controlStores(jumpedTo), [{ word: 3, clears: false }]);
  t.deepEqual(controlStores(program([0x62, 1, 0, word3, 0], exit)), [{ word: 3, clears: true }]);
});

test("a store that reaches over two words is one to both, and clears neither by itself", (t) => {
  t.deepEqual(controlStores(program(set(2, 0), [0x7b, 1, 2, word3 - 4], exit)), [
    { word: 2, clears: false },
    { word: 3, clears: false },
  ]);
});

test("stores elsewhere are none to the control block", (t) => {
  const elsewhere = [
    program(storeWord(10, word3, 2), exit),
    program(storeWord(1, 8, 2), exit),
    program(storeWord(1, 68, 2), exit),
    program(loadDouble(1, 1, 0), storeWord(1, word3, 2), exit),
    program(copy(6, 1), helper(1), copy(6, 0), storeWord(6, word3, 2), exit),
    program(helper(5), storeWord(1, word3, 2), exit),
  ];
  for (const insns of elsewhere) t.deepEqual(controlStores(insns), []);
});

test("a register that holds the context on one way only is not taken for it", (t) => {
  const either = program(ifZero(2, 1), copy(1, 10), storeWord(1, word3, 2), exit);
  t.deepEqual(controlStores(either), []);
});

test("a loop does not hide what comes behind it, nor does it go on for ever", (t) => {
  const loop = program(copy(6, 1), ifZero(2, -2), storeWord(6, word3, 2), exit);
  t.deepEqual(controlStores(loop), [{ word: 3, clears: false }]);
});

const body: readonly Insn[] = [loadDouble(2, 1, 200), [0x71, 0, 2], set(0, 0), exit];
const writes: readonly Insn[] = [loadDouble(2, 1, 200), [0x72, 2], set(0, 0), exit];
const sign: Insn = [0x71, 6, 1, 126];

test("what a writing program begins with and a reading one does not is the sign of a write", (t) => {
  const found = differenceOf(program(...body), program(sign, [0x54, 6, 0, 0, 1], ...writes));
  t.deepEqual(found, program(sign).raw(0));
  t.true(hasSign(program(set(3, 1), sign, ...writes), found!));
  t.false(hasSign(program(...body), found!));
});

test("no sign is recognised where programs differ in anything else", (t) => {
  const reading = program(...body);
  const notSo = [
    undefined,
    program(...writes),
    program(set(6, 0), ...writes),
    program(sign, ...writes.slice(0, 2), set(0, 1), exit),
    program(sign, ...body),
  ];
  for (const writing of notSo) t.is(differenceOf(reading, writing), undefined);
  t.is(
    differenceOf(program(sign, ...body), program(sign, sign, ...writes)),
    undefined,
    "a reader has it as well",
  );
});
